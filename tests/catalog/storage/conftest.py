"""Storages of both kinds, S3 on a real server."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kappamask_catalog.storage import MaskStorage, open_storage
from tests.s3 import S3Server, serve_s3

Files = dict[str, bytes]
MakeFolder = Callable[[Files], Path]


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    # Fixtures of a session are made before sockets are given back to the test that asks first.
    with serve_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, and how to reach it in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


@pytest.fixture(params=["folder", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty storage."""
    if request.param == "folder":
        return str(tmp_path / "storage")
    request.getfixturevalue("s3_environment")
    return f"s3://masks/{uuid.uuid4().hex}"


@pytest.fixture
def storage(url: str) -> MaskStorage:
    return open_storage(url)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Writes files into a new folder."""

    def make(files: Files) -> Path:
        folder = tmp_path / f"work-{uuid.uuid4().hex[:6]}"
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder

    return make
