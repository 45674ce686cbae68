"""`kappamask publish`: each product once, whatever happens to whom."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import DemoScene, ProductPaths, write_product
from kappamask_catalog.store.base import OPERATOR, ItemQuery
from kappamask_catalog.store.sqlite import SqliteStore

from .conftest import SIZE_PX, Run

KAPPAMASK = [sys.executable, "-c", "from kappamask_backend.cli import main; main()"]
N_PRODUCTS = 20


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KAPPAMASK_DATA_FOLDER", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Small products of twenty days."""
    folder = tmp_path_factory.mktemp("twenty")
    days = (date(2026, 6, 1) + timedelta(days=number) for number in range(N_PRODUCTS))
    return [write_product(DemoScene(size_px=180, date=day), folder).safe for day in days]


def items(data: Path) -> list[dict[str, Any]]:
    store = SqliteStore(data / "catalog.sqlite")
    try:
        return store.search(ItemQuery(limit=1000), OPERATOR).items
    finally:
        store.close()


def stray_files(data: Path) -> set[str]:
    """Files that belong to no item, and folders of unfinished work."""
    linked = {asset["href"] for item in items(data) for asset in item["assets"].values()}
    folders = {href.rpartition("/")[0] for href in linked}
    stored = {path.as_uri() for path in (data / "masks").rglob("*") if path.is_file()}
    stray = {uri for uri in stored if uri.rpartition("/")[0] not in folders}
    return stray | {str(path) for path in (data / "work").iterdir()}


def start(products: list[Path], data: Path, *options: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "KAPPAMASK_DATA_FOLDER": str(data)}
    command = [*KAPPAMASK, "publish", *map(str, products), "-q", "--json", *options]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_items(data: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            if len(items(data)) >= count:
                return
        except sqlite3.OperationalError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_publish_makes_an_item_that_is_valid_and_whose_files_are_there(
    run: Run, product: ProductPaths, data_folder: Path
) -> None:
    answer = run("publish", product.safe, "--probabilities", "--json", "-q")
    assert answer.exit_code == 0, answer.stderr
    (told,) = json.loads(answer.stdout)["products"]
    assert told["status"] == "published"
    (item,) = items(data_folder)
    assert item["id"] == told["item"] == f"{product.safe.stem}_ukis-csmask-6b-l1c_v1.0.0"
    link = {"rel": "collection", "href": "kappamask-l1c"}
    assert validate_item({**item, "links": [*item["links"], link]}) == []
    assert set(item["assets"]) == {"mask", "probabilities", "preview", "thumbnail"}
    for asset in item["assets"].values():
        path = Path(asset["href"].removeprefix("file://"))
        assert path.stat().st_size == asset["file:size"]
    derived = [one["href"] for one in item["links"] if one["rel"] == "derived_from"]
    assert derived == [product.safe.resolve().as_uri()]
    assert stray_files(data_folder) == set()


def test_publish_again_does_nothing_and_force_replaces(
    run: Run, product: ProductPaths, data_folder: Path
) -> None:
    assert run("publish", product.safe, "-q").exit_code == 0
    (before,) = items(data_folder)
    again = run("publish", product.safe, "-q", "--json")
    assert json.loads(again.stdout)["counts"] == {"present": 1}
    assert items(data_folder) == [before]
    forced = run("publish", product.safe, "-q", "--force", "--json")
    assert json.loads(forced.stdout)["counts"] == {"published": 1}
    (after,) = items(data_folder)
    assert after["id"] == before["id"]
    assert after["assets"]["mask"]["href"] != before["assets"]["mask"]["href"]
    assert stray_files(data_folder) == set()


def test_publish_dry_run_makes_nothing(run: Run, product: ProductPaths, data_folder: Path) -> None:
    answer = run("publish", product.safe, "--dry-run", "-q", "--json")
    assert json.loads(answer.stdout)["counts"] == {"would publish": 1}
    assert items(data_folder) == []


def test_publish_levels_go_to_collections_of_their_own(
    run: Run, product: ProductPaths, product_l2a: ProductPaths, data_folder: Path
) -> None:
    answer = run("publish", product.safe, product_l2a.safe, "--parallel", "2", "-q")
    assert answer.exit_code == 0, answer.stderr
    assert {item["collection"] for item in items(data_folder)} == {"kappamask-l1c", "kappamask-l2a"}


def test_publish_newer_processing_deprecates_the_older(
    run: Run, product: ProductPaths, data_folder: Path, tmp_path: Path
) -> None:
    old = write_product(DemoScene(size_px=SIZE_PX), tmp_path / "old", baseline="02.04").safe
    assert run("publish", product.safe, old, "-q").exit_code == 0
    by_baseline = {one["properties"]["s2:processing_baseline"]: one for one in items(data_folder)}
    assert by_baseline["02.04"]["properties"]["deprecated"]
    assert "deprecated" not in by_baseline["05.11"]["properties"]
    newest = by_baseline["05.11"]["id"]
    assert any(
        link["rel"] == "latest-version" and link["href"].endswith(newest)
        for link in by_baseline["02.04"]["links"]
    )
    assert run("catalog", "delete", newest, "--yes").exit_code == 0
    (rest,) = items(data_folder)
    assert "deprecated" not in rest["properties"]
    assert stray_files(data_folder) == set()


def test_publish_collection_follows_its_items(
    run: Run, product: ProductPaths, data_folder: Path
) -> None:
    assert run("publish", product.safe, "-q").exit_code == 0
    collection = json.loads(run("catalog", "show", "kappamask-l1c").stdout)
    assert validate_item(collection) == []
    (item,) = items(data_folder)
    assert collection["extent"]["spatial"]["bbox"] == [item["bbox"]]
    assert collection["summaries"]["kappamask:model"] == ["ukis-csmask-6b-l1c"]


def test_publish_failures_are_reported_and_the_rest_is_published(
    run: Run, product: ProductPaths, data_folder: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.SAFE"
    broken.mkdir()
    report = tmp_path / "report.json"
    answer = run("publish", broken, product.safe, "--attempts", "1", "-q", "--report", report)
    assert answer.exit_code == 1
    assert "1  published" in answer.stdout
    assert "broken.SAFE" in answer.stdout
    outcomes = {one["status"]: one for one in json.loads(report.read_text())["products"]}
    assert "is no SAFE product" in outcomes["failed"]["reason"]
    assert len(items(data_folder)) == 1


def test_publish_by_a_model_of_another_level_fails_at_once(
    run: Run, product: ProductPaths, data_folder: Path
) -> None:
    answer = run("publish", product.safe, "--model", "ukis-csmask-6b-l2a", "-q", "--json")
    assert answer.exit_code == 1
    (told,) = json.loads(answer.stdout)["products"]
    assert told["attempts"] == 1
    assert "is made for L2A products" in told["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give products, or a source"),
        (("x.SAFE", "--source", "s"), "and not both"),
        (("--source", "no-such"), "no-such"),
    ],
)
def test_publish_mistakes_are_told_at_once(
    run: Run, arguments: tuple[str, ...], message: str
) -> None:
    answer = run("publish", *arguments)
    assert answer.exit_code == 1
    assert message in answer.error


def test_publish_wrong_settings_are_named(
    run: Run, product: ProductPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPAMASK_STAC_CLAIM_SECONDS", "soon")
    assert "KAPPAMASK_STAC_CLAIM_SECONDS" in run("publish", product.safe).error
    monkeypatch.delenv("KAPPAMASK_STAC_CLAIM_SECONDS")
    monkeypatch.setenv("KAPPAMASK_STAC_STORE", "mysql://user:secret@host/db")
    error = run("publish", product.safe).error
    assert "mysql" in error
    assert "secret" not in error


@pytest.fixture
def two_processes(twenty: list[Path], data_folder: Path) -> Iterator[list["subprocess.Popen[str]"]]:
    """Two that publish the same twenty products, with claims of two seconds."""
    options = ("--claim-seconds", "2")
    processes = [start(twenty, data_folder, *options) for _ in range(2)]
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_two_processes_one_of_them_killed_end_with_each_product_once(
    twenty: list[Path], two_processes: list["subprocess.Popen[str]"], data_folder: Path
) -> None:
    victim, survivor = two_processes
    wait_for_items(data_folder, 5)
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    again = start(twenty, data_folder, "--claim-seconds", "2")
    answers = [process.communicate(timeout=180) for process in (survivor, again)]
    assert [process.returncode for process in (survivor, again)] == [0, 0], answers
    found = items(data_folder)
    assert len(found) == N_PRODUCTS
    assert {item["properties"]["kappamask:product"] for item in found} == {
        path.stem for path in twenty
    }
    reports = [json.loads(stdout)["counts"] for stdout, _ in answers]
    assert all(sum(counts.values()) == N_PRODUCTS for counts in reports)
    assert stray_files(data_folder) == set()


def test_interrupt_keeps_what_was_published_and_exits_130(
    twenty: list[Path], data_folder: Path
) -> None:
    process = start(twenty, data_folder)
    wait_for_items(data_folder, 2)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    report = json.loads(stdout)
    assert report["interrupted"]
    found = items(data_folder)
    assert 2 <= len(found) < N_PRODUCTS
    assert report["counts"]["published"] == len(found)
    assert stray_files(data_folder) == set()
