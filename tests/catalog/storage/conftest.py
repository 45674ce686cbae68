"""Storages of both kinds, S3 on a real server."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from kappamask_catalog.storage import MaskStorage, open_storage

Files = dict[str, bytes]
MakeFolder = Callable[[Files], Path]


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
