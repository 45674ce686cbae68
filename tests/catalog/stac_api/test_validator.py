"""stac-api-validator on a running server, for each kind of store."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kappamask_catalog.results import MaskResult
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_catalog.store.base import Store
from tests.catalog.stac_api.conftest import SECRET, publish
from tests.catalog.stac_api.documents import COLLECTION_ID, build_item
from tests.catalog.stac_api.server import ROOT, serve_place
from tests.catalog.store.places import Place

pytestmark = pytest.mark.enable_socket

CLASSES = ("core", "collections", "features", "item-search", "filter", "item-search#fields")
"""All that it can check but sort and query: there it sends `collections` as a text and numbers as
texts, which the STAC API does not allow."""
AREA = {"type": "Polygon", "coordinates": [[[9, 57], [40, 57], [40, 60], [9, 60], [9, 57]]]}


def validate(url: str) -> subprocess.CompletedProcess[str]:
    arguments = ["--root-url", url, "--collection", COLLECTION_ID, "--geometry", json.dumps(AREA)]
    arguments += ["--validate-pagination", "--fields-nested-property", "properties.eo:cloud_cover"]
    for name in CLASSES:
        arguments += ["--conformance", name]
    return subprocess.run(
        [sys.executable, "-m", "tests.catalog.stac_api.validator", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def is_advice(warning: str) -> bool:
    """Fields that every item must have are given out although nobody asked for them; ids are names
    of products, in capitals and with dots; and items carry more fields of the product than the 20
    that stac-check recommends.
    """
    return "extra fields" in warning or "stac-check recommendations" in warning


def test_validator_finds_nothing(
    place: Place, store: Store, storage: FolderStorage, mask: MaskResult, tmp_path: Path
) -> None:
    publish(mask, store, storage)
    # One of its checks wants items here.
    store.upsert_items(COLLECTION_ID, [build_item("near", west=20.2, south=20.2)])
    with serve_place(place, tmp_path / "storage", secret=SECRET) as url:
        done = validate(url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Errors: none" in done.stdout
    for name in (
        "Core",
        "Collections",
        "Features",
        "Item Search",
        "Item Search - Filter Extension",
    ):
        assert f"STAC API - {name}" in done.stdout
    warnings = [line for line in done.stdout.splitlines() if line.startswith("- [")]
    assert not [line for line in warnings if not is_advice(line)], done.stdout


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stac_extensions": ["https://stac-extensions.github.io/none/v1.0.0/schema.json"]},
         "schema that is not here: https://stac-extensions.github.io/none"),
        ({"properties": {"datetime": "2030-01-01T00:00:00Z", "eo:cloud_cover": 500}}, "500"),
    ],
)  # fmt: skip
def test_validator_finds_an_item_that_is_wrong(
    place: Place, store: Store, tmp_path: Path, change: dict, reason: str
) -> None:
    newest = build_item("newest", time="2030-01-01T00:00:00Z")
    store.upsert_items(COLLECTION_ID, [{**newest, **change}])
    with serve_place(place, tmp_path / "storage") as url:
        done = validate(url)
    assert done.returncode == 1
    assert reason in done.stdout
