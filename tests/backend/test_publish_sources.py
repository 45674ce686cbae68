"""`kappamask publish` from sources, and into S3."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kappamask_catalog.scene import DEMO_DATES, DemoScene, ProductPaths, write_product
from kappamask_catalog.store.base import OPERATOR, ItemQuery
from kappamask_catalog.store.pgstac import PgstacStore
from kappamask_catalog.store.sqlite import SqliteStore
from tests.catalog.conftest import s3_environment, s3_server
from tests.s3 import SECRET_KEY, S3Server

from .conftest import SIZE_PX, Run

pytestmark = pytest.mark.enable_socket
__all__ = ["s3_environment", "s3_server"]

KAPPAMASK = [sys.executable, "-c", "from kappamask_backend.cli import main; main()"]
SOURCES = """
[[source]]
id = "archive"
kind = "folder"
location = "{folder}"
level = "L1C"
"""


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    monkeypatch.setenv("KAPPAMASK_DATA_FOLDER", str(folder))
    return folder


@pytest.fixture
def archive(tmp_path: Path, data_folder: Path, product: ProductPaths) -> Path:
    """A folder with two products, which is the source `archive`."""
    folder = tmp_path / "archive"
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[1])
    write_product(scene, folder)
    shutil.copytree(product.safe, folder / product.safe.name)
    data_folder.mkdir()
    (data_folder / "sources.toml").write_text(SOURCES.format(folder=folder))
    return folder


def items(data: Path) -> list[dict[str, Any]]:
    store = SqliteStore(data / "catalog.sqlite")
    try:
        return store.search(ItemQuery(limit=1000), OPERATOR).items
    finally:
        store.close()


def test_publish_from_a_folder_takes_what_was_asked_for(
    run: Run, archive: Path, data_folder: Path
) -> None:
    answer = run("publish", "--source", "archive", "--datetime", "2026-06-06", "-q", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert json.loads(answer.stdout)["counts"] == {"published": 1}
    rest = run("publish", "--source", "archive", "-q", "--json")
    assert json.loads(rest.stdout)["counts"] == {"present": 1, "published": 1}
    assert len(items(data_folder)) == 2
    elsewhere = run("publish", "--source", "archive", "--bbox", "10,50,11,51")
    assert elsewhere.exit_code == 0
    assert "no products found" in elsewhere.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "none"), "there is no source 'none'; there are: archive"),
        (("--source", "archive", "--bbox", "1,2,3"), "a box is west,south,east,north"),
        (("--source", "archive", "--datetime", "soon"), "a time is a day"),
        (("x.SAFE", "--bbox", "1,2,3,4"), "--bbox choose among the products of a --source"),
    ],
)
def test_publish_source_mistakes_are_told(
    run: Run, archive: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = run("publish", *arguments)
    assert answer.exit_code == 1
    assert message in answer.error


def test_publish_watch_takes_products_as_they_come_until_it_is_stopped(
    archive: Path, data_folder: Path, tmp_path: Path
) -> None:
    late = write_product(DemoScene(size_px=SIZE_PX, date=DEMO_DATES[3]), tmp_path / "late").safe
    environment = {**os.environ, "KAPPAMASK_DATA_FOLDER": str(data_folder)}
    process = subprocess.Popen(
        [*KAPPAMASK, "publish", "--source", "archive", "--watch", "-q", "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_for(data_folder, 2)
        shutil.copytree(late, archive / late.name)
        wait_for(data_folder, 3)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130, stderr
    assert json.loads(stdout)["counts"] == {"published": 3}


def wait_for(data: Path, count: int) -> None:
    deadline = time.monotonic() + 90
    while len(items(data) if (data / "catalog.sqlite").exists() else []) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_publish_into_s3_and_away_again(
    run: Run,
    product: ProductPaths,
    data_folder: Path,
    s3_environment: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAPPAMASK_STORAGE_URL", "s3://masks/published")
    answer = run("publish", product.safe, "-q")
    assert answer.exit_code == 0, answer.stderr
    (item,) = items(data_folder)
    assert item["assets"]["mask"]["href"].startswith("s3://masks/published/kappamask-l1c/")
    assert run("catalog", "validate", "--checksums").exit_code == 0
    assert run("catalog", "export", "static", "--files").exit_code == 0
    assert len(list(Path("static").rglob("mask.tif"))) == 1
    assert run("catalog", "delete", item["id"], "--yes").exit_code == 0
    keys = [one["path"] for page in s3_environment.store("masks").list("published") for one in page]
    assert keys == []


def test_publish_into_s3_without_access_says_so_without_secrets(
    run: Run,
    product: ProductPaths,
    data_folder: Path,
    s3_environment: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KAPPAMASK_STORAGE_URL", "s3://masks/published")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE")
    answer = run("publish", product.safe, "-q", "--attempts", "1", "--json")
    assert answer.exit_code == 1
    (told,) = json.loads(answer.stdout)["products"]
    assert "s3://masks" in told["reason"]
    assert SECRET_KEY not in answer.stdout + answer.stderr
    assert items(data_folder) == []


def test_two_processes_on_postgresql_and_s3_one_of_them_killed(
    product: ProductPaths,
    data_folder: Path,
    pgstac_dsn: str,
    s3_environment: S3Server,
    tmp_path: Path,
) -> None:
    """As in production: what a killed process left goes away, and each product is there once."""
    products = [product.safe]
    for number in range(1, 6):
        scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[0] + timedelta(days=number))
        products.append(write_product(scene, tmp_path / "more").safe)
    environment = {
        **os.environ,
        "KAPPAMASK_STAC_STORE": pgstac_dsn,
        "KAPPAMASK_STORAGE_URL": "s3://masks/production",
        "KAPPAMASK_STAC_CLAIM_SECONDS": "2",
    }

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*KAPPAMASK, "publish", *map(str, products), "-q", "--json"],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    store = PgstacStore(pgstac_dsn)
    processes = [start(), start()]
    try:
        deadline = time.monotonic() + 90
        while not store.search(ItemQuery(), OPERATOR).items:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        processes[0].send_signal(signal.SIGKILL)
        processes.append(start())
        answers = [one.communicate(timeout=120) for one in processes[1:]]
        assert [one.returncode for one in processes[1:]] == [0, 0], answers
        found = store.search(ItemQuery(limit=100), OPERATOR).items
    finally:
        store.close()
        for process in processes:
            process.kill()
            process.communicate()
    assert sorted(one["properties"]["kappamask:product"] for one in found) == sorted(
        one.stem for one in products
    )
    linked = {one["assets"]["mask"]["href"].rpartition("/")[0] for one in found}
    listing = s3_environment.store("masks").list("production")
    stored = {f"s3://masks/{one['path']}".rpartition("/")[0] for page in listing for one in page}
    assert stored == linked
