"""Products of Copernicus Data Space and Earth Search are read rightly: bands, offsets, S3."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest

from kappamask_catalog.products import (
    Credentials,
    ProductRef,
    S3Settings,
    SourceConfig,
    find_source,
    open_collection,
    open_ref,
    shipped_sources,
)
from kappamask_catalog.sources import ReadOptions, open_product
from kappamask_udf.errors import MissingBandError, ProductError, SourceError
from kappamask_udf.pixels import Calibration, PixelWindow
from tests.catalog.products.items import cdse_item, earth_search_item
from tests.catalog.products.stac_server import Site, add_api
from tests.catalog.sources.safes import SafeSpec, band_dn, write_jp2, write_safe
from tests.s3 import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.enable_socket

WHOLE = PixelWindow(0, 120, 0, 180)
L2A = SafeSpec(level="L2A", bands=("B02", "B8A", "AOT", "WVP"), offsets={"B8A": -700})
L1C = SafeSpec(offsets={"B8A": -700})


@pytest.fixture
def blue(tmp_path: Path) -> Path:
    """A raster of band B02."""
    path = tmp_path / "B02.jp2"
    write_jp2(path, band_dn("B02", 10, SafeSpec()), 10)
    return path


def find_one(
    site: Site, source_id: str, document: dict[str, Any]
) -> tuple[ProductRef, SourceConfig]:
    """The item by a search of a shipped source, whose server is ours."""
    config = replace(find_source(source_id, shipped_sources()), location=site.url)
    add_api(site, [document])
    (ref,) = open_collection(config).search()
    return ref, config


EARTH_SEARCH = [
    # Flag and fields of the asset; what the offset of the numbers must be.
    ("earth-search-l2a", "sentinel-2-l2a", {"earthsearch:boa_offset_applied": True}, -0.1, 0),
    ("earth-search-l2a", "sentinel-2-l2a", {"earthsearch:boa_offset_applied": True}, 0, 0),
    ("earth-search-l2a", "sentinel-2-l2a", {"earthsearch:boa_offset_applied": False}, -0.1, -1000),
    ("earth-search-l2a", "sentinel-2-l2a", {"earthsearch:boa_offset_applied": False}, 0, 0),
    ("earth-search-l2a", "sentinel-2-l2a", {}, -0.1, -1000),
    ("earth-search-c1-l2a", "sentinel-2-c1-l2a", {}, -0.1, -1000),
    ("earth-search-c1-l2a", "sentinel-2-c1-l2a", {}, 0, 0),
    ("earth-search-l1c", "sentinel-2-l1c", {}, -0.1, -1000),
    # A flag about surface reflectance says nothing of the files of Level-1C.
    ("earth-search-l1c", "sentinel-2-l1c", {"earthsearch:boa_offset_applied": True}, -0.1, -1000),
]  # fmt: skip


@pytest.mark.parametrize(("source", "collection", "flag", "told", "offset"), EARTH_SEARCH)
def test_earth_search_offset_is_subtracted_once(
    site: Site,
    blue: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    collection: str,
    flag: dict[str, Any],
    told: float,
    offset: int,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unused")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "unused")
    document = earth_search_item(collection, blue.as_uri(), L2A, told, **flag)
    ref, config = find_one(site, source, document)
    with open_ref(ref, config) as product:
        assert product.calibration("B02") == Calibration(10000, offset)
        assert product.level == config.level
        assert np.array_equal(product.read_dn("B02", WHOLE), band_dn("B02", 10, SafeSpec()))


def test_earth_search_original_beside_a_corrected_raster_keeps_its_offset(blue: Path) -> None:
    flag = {"earthsearch:boa_offset_applied": True}
    document = earth_search_item("sentinel-2-l2a", blue.as_uri(), L2A, **flag)
    path = blue.with_name("item.json")
    path.write_text(json.dumps(document))
    options = ReadOptions(band_assets={"B02": "blue-jp2"})
    with open_product(str(path), options=options) as product:
        assert product.calibration("B02") == Calibration(10000, -1000)


Publish = Callable[[SafeSpec], str]


@pytest.fixture
def publish(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Puts a product into a bucket that wants keys and returns its address."""
    monkeypatch.setenv("CDSE_S3_ACCESS_KEY", ACCESS_KEY)
    monkeypatch.setenv("CDSE_S3_SECRET_KEY", SECRET_KEY)

    def put(spec: SafeSpec) -> str:
        root = write_safe(tmp_path, spec)
        store = s3_server.store("eodata")
        for path in root.rglob("*.*"):
            if path.is_file():
                key = f"{tmp_path.name}/{path.relative_to(root.parent).as_posix()}"
                obstore.put(store, key, path.read_bytes())
        return f"s3://eodata/{tmp_path.name}"

    return put


def cdse_ref(
    site: Site, server: S3Server, base: str, spec: SafeSpec
) -> tuple[ProductRef, SourceConfig]:
    document = cdse_item(spec.level, base, spec)
    ref, config = find_one(site, f"cdse-{spec.level.lower()}", document)
    return ref, replace(config, s3=S3Settings(server.endpoint, "us-east-1"))


@pytest.mark.parametrize("spec", [L1C, L2A], ids=["L1C", "L2A"])
def test_cdse_product_in_s3_is_read_with_its_own_metadata(
    site: Site, s3_server: S3Server, publish: Publish, spec: SafeSpec
) -> None:
    ref, config = cdse_ref(site, s3_server, publish(spec), spec)
    with open_ref(ref, config) as product:
        assert (product.level, product.processing_baseline) == (spec.level, "05.09")
        assert product.calibration("B02") == Calibration(10000, -1000)
        assert product.calibration("B8A") == Calibration(10000, -700)
        assert np.array_equal(product.read_dn("B02", WHOLE), band_dn("B02", 10, spec))
        if spec.level == "L2A":
            assert product.calibration("AOT") == Calibration(1000, 0)


def test_cdse_metadata_that_is_missing_leaves_the_fields_of_the_assets(
    site: Site, s3_server: S3Server, publish: Publish
) -> None:
    base = publish(L2A)
    obstore.delete(
        s3_server.store("eodata"),
        f"{base.removeprefix('s3://eodata/')}/{L2A.name}.SAFE/MTD_MSIL2A.xml",
    )
    ref, config = cdse_ref(site, s3_server, base, L2A)
    with open_ref(ref, config) as product:
        assert product.calibration("B02") == Calibration(10000, -1000)
        # What the catalogue says of these two is that of the spectral bands.
        for layer in ("AOT", "WVP"):
            with pytest.raises(ProductError, match=f"calibration of band {layer} is unknown"):
                product.calibration(layer)


def test_cdse_wrong_keys_say_so_without_showing_them(
    site: Site, s3_server: S3Server, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, config = cdse_ref(site, s3_server, publish(L1C), L1C)
    monkeypatch.setenv("CDSE_S3_SECRET_KEY", "another-secret")
    with (
        open_ref(ref, config) as product,
        pytest.raises(ProductError, match="band B02") as caught,
    ):
        product.read_dn("B02", WHOLE)
    for secret in ("another-secret", ACCESS_KEY):
        assert secret not in str(caught.value)


def test_cdse_without_keys_is_found_and_not_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CDSE_S3_ACCESS_KEY", raising=False)
    ref, config = find_one(site, "cdse-l1c", cdse_item("L1C", "s3://eodata/x", L1C))
    assert ref.id == L1C.name
    with pytest.raises(SourceError, match="cdse-l1c needs the environment variable CDSE_S3_ACCESS"):
        open_ref(ref, config)


@pytest.mark.parametrize(
    ("rule", "flag", "offset"),
    [
        ("metadata", True, -1000),
        ("metadata", None, -1000),
        ("applied", False, 0),
        ("applied", None, 0),
        ("property", True, 0),
        ("property", False, -1000),
        ("property", None, -1000),
    ],
)
def test_offset_rule_of_the_source_decides(
    site: Site, blue: Path, rule: Any, flag: bool | None, offset: int
) -> None:
    properties = {} if flag is None else {"earthsearch:boa_offset_applied": flag}
    document = earth_search_item("sentinel-2-l2a", blue.as_uri(), L2A, **properties)
    ref, config = find_one(site, "earth-search-l2a", document)
    with open_ref(ref, replace(config, offset=rule)) as product:
        assert product.calibration("B02") == Calibration(10000, offset)


def test_band_names_of_the_source_are_taken(site: Site, blue: Path) -> None:
    document = earth_search_item("sentinel-2-l2a", blue.as_uri(), L2A)
    asset = document["assets"].pop("blue")
    document["assets"] = {"Kanal-2": {**asset, "eo:bands": [{"name": "x"}]}, "green": asset}
    ref, config = find_one(site, "earth-search-l2a", document)
    with open_ref(ref, replace(config, bands={"B02": "Kanal-2"})) as product:
        assert product.band_resolution_m("B02") == 10
        assert np.array_equal(product.read_dn("B02", WHOLE), band_dn("B02", 10, SafeSpec()))
    with (
        open_ref(ref, replace(config, bands={"B03": "not-there"})) as product,
        pytest.raises(MissingBandError, match="has no band B03"),
    ):
        product.calibration("B03")


def test_open_ref_without_item_asks_its_server_with_credentials(
    site: Site, blue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "secret-token")
    document = earth_search_item("sentinel-2-l2a", blue.as_uri(), L2A)
    ref, config = find_one(site, "earth-search-l2a", document)
    site.documents[ref.location.removeprefix(site.url)] = document
    bare = replace(ref, item=None)
    with open_ref(bare, replace(config, credentials=Credentials(token="API_TOKEN"))) as product:
        assert product.id == ref.id
        assert product.location == ref.location
    assert site.requests[-1].headers["Authorization"] == "Bearer secret-token"


def test_open_product_takes_an_item_that_is_there(site: Site, blue: Path) -> None:
    document = earth_search_item("sentinel-2-l2a", blue.as_uri(), L2A)
    ref, _ = find_one(site, "earth-search-l2a", document)
    asked = len(site.requests)
    with open_product(ref.location, item=ref.item) as product:
        assert product.item is not ref.item
        assert product.id == ref.id
    assert len(site.requests) == asked
