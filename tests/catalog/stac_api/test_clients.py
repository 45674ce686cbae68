"""Clients that people use, against a real server: pystac-client, odc-stac and GDAL."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import odc.stac
import pystac_client
import pytest
import rasterio

from kappamask_catalog.results import MaskResult
from kappamask_catalog.storage.folder import FolderStorage
from kappamask_catalog.store.base import Store
from tests.catalog.stac_api.conftest import SECRET, SERIES, SIZE_PX, publish
from tests.catalog.stac_api.documents import COLLECTION_ID
from tests.catalog.stac_api.server import serve_place
from tests.catalog.store.places import Place

pytestmark = pytest.mark.enable_socket


@pytest.fixture
def url(
    store: Store, place: Place, storage: FolderStorage, mask: MaskResult, tmp_path: Path
) -> Iterator[str]:
    """The address of a server that has the mask besides the 25 items."""
    publish(mask, store, storage)
    with serve_place(place, tmp_path / "storage", secret=SECRET, sign_all="true") as address:
        yield address


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_pystac_client_pages_through_a_search(url: str, method: str) -> None:
    client = pystac_client.Client.open(url)
    search = client.search(
        collections=[COLLECTION_ID], ids=[f"item-{n:03}" for n in range(SERIES)], limit=4,
        method=method, sortby="+id",
    )  # fmt: skip
    assert search.matched() == SERIES
    assert [item.id for item in search.items()] == [f"item-{n:03}" for n in range(SERIES)]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "condition",
    ["eo:cloud_cover < 5", {"op": "<", "args": [{"property": "eo:cloud_cover"}, 5]}],
)
def test_pystac_client_filters_with_cql2(url: str, method: str, condition: str | dict) -> None:
    client = pystac_client.Client.open(url)
    search = client.search(
        filter=condition, method=method, bbox=[9, 50, 40, 70],
        datetime="2024-06-01/2024-06-30", query=None,
    )  # fmt: skip
    assert {item.id for item in search.items()} == {"item-000", "item-001"}


def test_pystac_client_walks_from_the_root(url: str) -> None:
    client = pystac_client.Client.open(url)
    (collection,) = client.get_collections()
    item = collection.get_item("item-007")
    assert item is not None
    assert item.get_collection().id == COLLECTION_ID
    assert "eo:cloud_cover" in collection.get_queryables()["properties"]


@pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning")  # odc-geo's
def test_odc_stac_loads_the_mask_from_signed_links(url: str, mask: MaskResult) -> None:
    client = pystac_client.Client.open(url)
    items = client.search(ids=[mask.item.id]).item_collection()
    assert "signature=" in items[0].assets["mask"].href
    cube = odc.stac.load(items, bands=["mask"], chunks=None)
    with rasterio.open(mask.folder / "mask.tif") as expected:
        np.testing.assert_array_equal(cube["mask"].values[0], expected.read(1))
        assert cube.odc.crs.epsg == expected.crs.to_epsg()


def test_gdal_reads_ranges_of_a_signed_link(url: str, mask: MaskResult) -> None:
    client = pystac_client.Client.open(url)
    (item,) = client.search(ids=[mask.item.id]).items()
    with rasterio.open(f"/vsicurl/{item.assets['mask'].href}") as opened:
        window = opened.read(1, window=((0, 64), (0, 64)))
    with rasterio.open(mask.folder / "mask.tif") as expected:
        np.testing.assert_array_equal(window, expected.read(1, window=((0, 64), (0, 64))))


def test_gdal_of_its_own_process_asks_for_ranges_only(url: str, mask: MaskResult) -> None:
    client = pystac_client.Client.open(url)
    (item,) = client.search(ids=[mask.item.id]).items()
    script = "import rasterio, sys; print(rasterio.open(sys.argv[1]).profile['width'])"
    environment = {
        **os.environ, "CPL_CURL_VERBOSE": "YES", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script, item.assets["mask"].href],
        env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert int(done.stdout) == SIZE_PX
    assert "206 Partial Content" in done.stderr
    assert "Range: bytes=0-" in done.stderr
