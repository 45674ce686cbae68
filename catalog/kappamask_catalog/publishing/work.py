"""Where masks are made before they are stored: a folder per process, gone with it."""

import os
import shutil
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kappamask_catalog.publish.result import is_alive
from kappamask_udf.errors import OutputError


@contextmanager
def work_folder(root: Path) -> Iterator[Path]:
    """A folder of this process below `root`, removed at the end.

    What processes of this host left that were killed is removed at the start.

    Raises:
        OutputError: it cannot be made.
    """
    host = "".join(char for char in socket.gethostname() if char.isalnum())
    folder = root / f"{host}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(root, host)
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"cannot write into {root}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(root: Path, host: str) -> None:
    for path in root.glob(f"{host}-*"):
        pid = path.name.removeprefix(f"{host}-").partition("-")[0]
        if pid.isdecimal() and not is_alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)
