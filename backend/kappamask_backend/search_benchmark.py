"""How many searches a second the STAC API answers, beside stac-fastapi-pgstac's own application.

All servers hold the same items, run at the same time and are asked the same questions in turns,
over HTTP by the same client, so that whatever slows the machine down slows all of them down.
"""

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import unquote, urlsplit

from kappamask_catalog.collection.documents import build_collection, extend_collection
from kappamask_catalog.store.base import Access, Document
from kappamask_catalog.store.opening import open_store
from kappamask_udf.errors import KappamaskError, MissingExtraError

PAGE = 100
_BATCH = 1000
_START_SECONDS = 60
_FIRST_DAY = datetime(2016, 1, 1, tzinfo=UTC)
_DAYS = 3650
OURS, PEER = "kappamask on SQLite", "stac-fastapi-pgstac"
OURS_ON_POSTGRES = "kappamask on pgstac"


@dataclass(frozen=True)
class SearchSetting:
    """What is measured."""

    n_items: int
    folder: Path
    """For the SQLite store."""
    postgres: str | None = None
    """Address of an empty database for pgstac, brought up to date."""
    rounds: int = 5
    searches: int = 40
    """Per server and round."""


@dataclass(frozen=True)
class SearchRow:
    """What one server answered."""

    name: str
    per_second: float
    """Searches, median of the rounds."""
    ratio: float
    """Over those of the first server, median within rounds."""
    returned: int
    """Items in all answers of a round, the same for all servers."""


def run_search_benchmark(
    setting: SearchSetting, progress: Callable[[str, float], None]
) -> list[SearchRow]:
    """Fill the stores, start the servers, ask in turns.

    Raises:
        KappamaskError: a server does not start, or answers differ.
        MissingExtraError: httpx is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtraError(
            "this benchmark needs httpx; install 'openeo-kappamask[import]'"
        ) from error
    stores = {OURS: f"sqlite://{setting.folder.absolute() / 'catalog.sqlite'}"}
    if setting.postgres is not None:
        stores[OURS_ON_POSTGRES] = setting.postgres
    for name, url in stores.items():
        _fill(url, setting.n_items, partial(progress, f"filling {name}"))
    rates: dict[str, list[float]] = {}
    returned: dict[str, int] = {}
    questions = _questions(setting.searches)
    with ExitStack() as stack:
        addresses = {
            name: stack.enter_context(_served(setting, name, url)) for name, url in stores.items()
        }
        if setting.postgres is not None:
            addresses[PEER] = stack.enter_context(_peer(setting.postgres))
        client = stack.enter_context(httpx.Client(timeout=60))
        for turn in range(setting.rounds + 1):
            for name, address in addresses.items():
                start = time.perf_counter()
                count = _ask(client, address, questions)
                seconds = time.perf_counter() - start
                returned[name] = count
                if turn:  # The first is for warming up.
                    rates.setdefault(name, []).append(len(questions) / seconds)
            progress("searching", turn / setting.rounds)
    if len(set(returned.values())) > 1:
        raise KappamaskError(f"the servers found different items: {returned}")
    first = rates[next(iter(addresses))]
    return [
        SearchRow(
            name,
            median(found),
            median(one / other for one, other in zip(found, first, strict=True)),
            returned[name],
        )
        for name, found in rates.items()
    ]


def as_dicts(rows: Sequence[SearchRow]) -> list[dict[str, Any]]:
    """For JSON."""
    return [asdict(row) for row in rows]


def make_items(count: int) -> Iterator[Document]:
    """Items of masks all over the land and ten years, always the same."""
    source = random.Random(0)  # noqa: S311
    for number in range(count):
        west, south = source.uniform(-180, 178), source.uniform(-56, 80)
        when = _FIRST_DAY + timedelta(days=source.randrange(_DAYS), seconds=source.randrange(86400))
        yield _make_item(number, west, south, when, source.uniform(0, 100))


def _make_item(
    number: int, west: float, south: float, when: datetime, cloud_cover: float
) -> Document:
    east, north = west + 1.4, south + 1.0
    name = f"S2A_MSIL1C_{when:%Y%m%dT%H%M%S}_N0511_R097_T{number % 60 + 1:02}XYZ_{number:08}"
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": f"{name}_kappamask-v2-l1c_v2.4",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "eo:cloud_cover": round(cloud_cover, 4),
            "gsd": 10,
            "grid:code": f"MGRS-{number % 60 + 1:02}XYZ",
            "proj:code": "EPSG:32618",
            "kappamask:model": "kappamask-v2-l1c",
            "kappamask:model_version": "2.4",
            "kappamask:product": name,
            "kappamask:class_percentages": {
                "clear": 50.0, "cloud_shadow": 10.0, "semi_transparent_cloud": 20.0, "cloud": 20.0,
            },
        },
        "links": [{"rel": "derived_from", "href": f"https://example.com/items/{name}"}],
        "assets": {
            "mask": {
                "href": f"https://example.com/masks/{name}/mask.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["data"],
                "file:size": 4203476,
            }
        },
    }  # fmt: skip


def _fill(url: str, count: int, progress: Callable[[float], None]) -> None:
    store = open_store(url)
    try:
        collection = build_collection("L1C", [])
        store.put_collection(collection, Access())
        batch: list[Document] = []
        for number, item in enumerate(make_items(count), 1):
            batch.append(item)
            if len(batch) == _BATCH or number == count:
                store.upsert_items(collection["id"], batch)
                collection = extend_collection(collection, batch)
                progress(number / count)
                batch = []
        store.put_collection(collection, Access())
    finally:
        store.close()


def _questions(count: int) -> list[dict[str, Any]]:
    """Boxes of some degrees and spans of some months, all with answers of a page or less."""
    source = random.Random(1)  # noqa: S311
    questions = []
    for _ in range(count):
        west, south = source.uniform(-170, 150), source.uniform(-50, 50)
        start = _FIRST_DAY + timedelta(days=source.randrange(_DAYS - 400))
        end = start + timedelta(days=400)
        questions.append(
            {
                "bbox": [west, south, west + 20, south + 20],
                "datetime": f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
                "limit": PAGE,
                "collections": ["kappamask-l1c"],
            }
        )
    return questions


def _ask(client: Any, address: str, questions: Sequence[Mapping[str, Any]]) -> int:
    """Items in all answers."""
    count = 0
    for question in questions:
        answer = client.post(f"{address}/search", json=question)
        if answer.status_code != 200:
            raise KappamaskError(f"{address} answers {answer.status_code}: {answer.text[:200]}")
        count += len(json.loads(answer.content)["features"])
    return count


@contextmanager
def _served(setting: SearchSetting, name: str, url: str) -> Iterator[str]:
    """`kappamask serve` over a store."""
    port = _free_port()
    environment = {
        **os.environ,
        "KAPPAMASK_STAC_STORE": url,
        "KAPPAMASK_DATA_FOLDER": str(setting.folder),
    }
    program = "from kappamask_backend.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", "--port", str(port), "-q"]
    with _running(name, command, environment, port) as address:
        yield address


@contextmanager
def _peer(dsn: str) -> Iterator[str]:
    """stac-fastapi-pgstac's own application over the same database."""
    parts, port = urlsplit(dsn), _free_port()
    environment = {
        **os.environ,
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    command = [
        sys.executable, "-m", "uvicorn", "stac_fastapi.pgstac.app:create_app", "--factory",
        "--port", str(port), "--log-level", "warning", "--no-access-log",
    ]  # fmt: skip
    with _running(PEER, command, environment, port) as address:
        yield address


@contextmanager
def _running(
    name: str, command: list[str], environment: Mapping[str, str], port: int
) -> Iterator[str]:
    with TemporaryFile("w+") as said:
        process = subprocess.Popen(  # noqa: S603
            command, env=dict(environment), stdout=said, stderr=said, text=True
        )
        try:
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        except ConnectionError:
            said.seek(0)
            lines = said.read().strip().splitlines()
            raise KappamaskError(
                f"{name} did not start: {lines[-1] if lines else 'it said nothing'}"
            ) from None
        finally:
            process.terminate()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise ConnectionError


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
