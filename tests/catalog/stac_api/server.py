"""An application in a process of its own, for real clients.

Clients that hold the interpreter's lock while they wait, as GDAL's do, could not talk to a server
in their own process. Run as `python -m tests.catalog.stac_api.server KIND LOCATION STORAGE`;
settings are in the environment.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from kappamask_catalog.stac_api import StacApiSettings, StorageLinks, create_stac_app
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_udf.models import load_registry
from tests.catalog.store.places import Place

ROOT = Path(__file__).parents[3]


@contextmanager
def serve_place(place: Place, storage: Path, **settings: str) -> Iterator[str]:
    """The address of a server over a store, with a slash at the end, while it runs."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        **{f"KAPPAMASK_API_{name.upper()}": value for name, value in settings.items()},
    }
    arguments = [place.kind, place.location, str(storage)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.catalog.stac_api.server", *arguments],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the server did not start"
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def main(kind: str, location: str, storage: str) -> None:
    """Serve until the process is ended."""
    settings = StacApiSettings()
    files = FolderStorage(Path(storage))
    registry = load_registry()
    app = create_stac_app(
        Place(kind, location).open(), StorageLinks(files, settings), settings, files=files,
        models=lambda: [model.spec.item for model in registry],
    )  # fmt: skip
    # With the protocol named, which is when asyncio sends small answers without waiting (40 ms).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    # Connections wait from now on.
    print(listener.getsockname()[1], flush=True)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    server.run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
