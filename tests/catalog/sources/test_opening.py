"""Every form of input gives the same product; every broken one says what is wrong."""

import io
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest

from kappamask_catalog.sources import open_product
from kappamask_udf.errors import CorruptDataError, MissingBandError, ProductError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import (
    EPSG,
    LEFT,
    TOP,
    SafeSpec,
    band_dn,
    write_jp2,
    zip_folder,
)

MakeSafe = Callable[..., Path]


def save_item(safe: Path, target: Path) -> Path:
    """The item of a product beside it, with relative hrefs."""
    with open_product(str(safe)) as product:
        item = product.item.clone()
    item.set_self_href(str(target))
    item.make_asset_hrefs_relative()
    target.write_text(json.dumps(item.to_dict(include_self_link=False)))
    return target


FORMS = [
    "folder", "slash", "renamed", "document", "manifest", "url", "zip", "nested zip", "item",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_open_product_any_form_reads_the_same(l1c_safe: Path, tmp_path: Path, form: str) -> None:
    if form == "slash":
        location = f"{l1c_safe}/"
    elif form == "renamed":
        location = str(shutil.copytree(l1c_safe, tmp_path / "my product"))
    elif form == "document":
        location = str(l1c_safe / "MTD_MSIL1C.xml")
    elif form == "manifest":
        location = str(l1c_safe / "manifest.safe")
    elif form == "url":
        location = l1c_safe.as_uri()
    elif form in ("zip", "nested zip"):
        prefix = "inner/" if form == "nested zip" else ""
        location = str(zip_folder(l1c_safe, tmp_path / "product.SAFE.zip", prefix))
    elif form == "item":
        copy = shutil.copytree(l1c_safe, tmp_path / l1c_safe.name)
        location = str(save_item(copy, tmp_path / "item.json"))
    else:
        location = str(l1c_safe)
    with open_product(location, workdir=tmp_path / "work") as product:
        assert product.location == location
        assert (product.level, product.epsg, product.shape_yx) == ("L1C", EPSG, (120, 180))
        assert tuple(product.transform[:6]) == (10, 0, LEFT, 0, -10, TOP)
        assert (product.processing_baseline, product.cloud_cover) == ("05.09", 37.5)
        assert product.id == "S2A_T32TNN_20230601T101559_L1C"
        assert product.bands == ("B02", "B8A", "B10")
        for band, metres in (("B02", 10), ("B8A", 20), ("B10", 60)):
            assert product.band_resolution_m(band) == metres
            rows, cols = product.grid.shape_at(metres)
            pixels = product.read_dn(band, PixelWindow(0, rows, 0, cols))
            assert np.array_equal(pixels, band_dn(band, metres, SafeSpec()))
        lost = product.read_lost(["B02"], PixelWindow(0, 120, 0, 180))
        assert lost is not None
        assert lost[35].all()
        assert not lost[60, 60]


def test_open_product_relative_path_reads(l1c_safe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(l1c_safe)
    with open_product("MTD_MSIL1C.xml") as product:
        assert product.read_dn("B02", PixelWindow(0, 1, 0, 1)).shape == (1, 1)


def test_open_product_safe_carries_angles_and_s2_fields(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        properties = product.item.properties
    assert properties["view:sun_elevation"] == 64.5
    assert properties["view:azimuth"] == 104.5
    assert properties["s2:processing_baseline"] == "05.09"
    assert properties["grid:code"] == "MGRS-32TNN"


def test_open_product_safe_item_has_places_of_rasters_that_are_no_square(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        fields = product.item.assets["nir08"].extra_fields
    assert fields["proj:transform"] == [20, 0, LEFT, 0, -20, TOP]
    assert fields["proj:bbox"] == [LEFT, TOP - 1200, LEFT + 1800, TOP]


def test_open_product_safe_item_is_a_stac_item(l1c_safe: Path) -> None:
    with open_product(str(l1c_safe)) as product:
        again = pystac.Item.from_dict(product.item.to_dict())
    assert again.assets["blue"].href.endswith("B02.jp2")


def test_open_product_l2a_takes_the_finest_asset(l2a_safe: Path) -> None:
    spec = SafeSpec(level="L2A")
    with open_product(str(l2a_safe)) as product:
        assert product.level == "L2A"
        assert product.band_resolution_m("B02") == 10
        assert product.band_resolution_m("B8A") == 20
        assert product.band_resolution_m("AOT") == 10
        pixels = product.read_dn("WVP", PixelWindow(0, 120, 0, 180))
    assert np.array_equal(pixels, band_dn("WVP", 10, spec))


def test_open_product_without_manifest_reads_with_a_warning(
    make_safe: MakeSafe, caplog: pytest.LogCaptureFixture
) -> None:
    safe = make_safe(has_manifest=False)
    with open_product(str(safe)) as product:
        assert product.read_dn("B02", PixelWindow(0, 5, 0, 5)).shape == (5, 5)
    assert "no manifest.safe" in caplog.text


def remove(name: str) -> Callable[[Path], None]:
    def change(safe: Path) -> None:
        for path in safe.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def rewrite(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(safe: Path) -> None:
        for path in safe.glob(name):
            assert old in path.read_text()
            path.write_text(path.read_text().replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("GRANULE"), "no granule"),
        (remove("GRANULE/*/MTD_TL.xml"), "no granule"),
        (remove("MTD_MSIL1C.xml"), "must hold one of"),
        (rewrite("MTD_MSIL1C.xml", "</n1:General_Info>", ""), "no well-formed XML"),
        (rewrite("MTD_MSIL1C.xml", "Level-1C</PROCESSING", "Level-1B</PROCESSING"), "'Level-1B'"),
        (rewrite("MTD_MSIL1C.xml", "QUANTIFICATION_VALUE", "OTHER"), "no QUANTIFICATION_VALUE"),
        (rewrite("MTD_MSIL1C.xml", ">10000<", ">0<"), "must be a positive number, got '0'"),
        (rewrite("MTD_MSIL1C.xml", "PRODUCT_URI", "OTHER"), "cannot be understood"),
        (rewrite("MTD_MSIL1C.xml", "<IMAGE_FILE>", "<IMAGE_FILE>../../../"), "outside of itself"),
        (rewrite("GRANULE/*/MTD_TL.xml", "Tile_Angles", "Other"), "cannot be understood"),
        (rewrite("GRANULE/*/MTD_TL.xml", "NROWS", "OTHER"), "no complete Tile_Geocoding"),
        (rewrite("GRANULE/*/MTD_TL.xml", "EPSG:32632", "UTM"), "no complete Tile_Geocoding"),
    ],
)
def test_open_product_broken_safe_says_what_is_wrong(
    make_safe: MakeSafe, change: Callable[[Path], None], message: str
) -> None:
    safe = make_safe()
    change(safe)
    with pytest.raises(ProductError, match=message) as caught:
        open_product(str(safe))
    assert "\n" not in str(caught.value)


def test_open_product_document_with_entities_is_refused(make_safe: MakeSafe) -> None:
    safe = make_safe()
    path = safe / "MTD_MSIL1C.xml"
    head, body = path.read_text().split("\n", 1)
    doctype = '<!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/hostname">]>'
    path.write_text(f"{head}\n{doctype}\n{body}")
    with pytest.raises(CorruptDataError, match="document type declaration"):
        open_product(str(safe))


def test_open_product_several_granules_says_so(make_safe: MakeSafe) -> None:
    safe = make_safe()
    granule = next((safe / "GRANULE").iterdir())
    shutil.copytree(granule, granule.with_name("another"))
    with pytest.raises(ProductError, match="2 granules"):
        open_product(str(safe))


def test_open_product_missing_path_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProductError, match=r"nothing\.SAFE does not exist"):
        open_product(str(tmp_path / "nothing.SAFE"))


def test_open_product_other_file_says_what_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no product")
    with pytest.raises(ProductError, match="is no product; give a SAFE folder"):
        open_product(str(path))


def test_open_product_folder_of_products_names_them(l1c_safe: Path) -> None:
    with pytest.raises(ProductError, match=rf"it holds {l1c_safe.name}, give one"):
        open_product(str(l1c_safe.parent))


def test_open_product_unknown_scheme_says_so() -> None:
    with pytest.raises(ProductError, match="only http"):
        open_product("s3://bucket/item.json")


def test_open_product_forbidden_file_says_so(
    l1c_safe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as a user whom nothing is forbidden, so the refusal is made.
    def refuse(path: Path, *args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ProductError, match=r"MTD_MSIL1C.xml cannot be read: Permission denied"):
        open_product(str(l1c_safe))


def test_band_resolution_unknown_band_names_those_there_are(l1c_safe: Path) -> None:
    with (
        open_product(str(l1c_safe)) as product,
        pytest.raises(MissingBandError, match=r"no band B12; it has B02, B8A, B10"),
    ):
        product.band_resolution_m("B12")


def test_band_resolution_missing_file_names_band_and_file(make_safe: MakeSafe) -> None:
    safe = make_safe()
    remove("GRANULE/*/IMG_DATA/*_B8A.jp2")(safe)
    with (
        open_product(str(safe)) as product,
        pytest.raises(MissingBandError, match=r"band B8A is missing: .*_B8A\.jp2"),
    ):
        product.band_resolution_m("B8A")


def test_read_dn_file_that_vanished_names_band_and_file(make_safe: MakeSafe) -> None:
    safe = make_safe(has_manifest=False)
    with open_product(str(safe)) as product:
        remove("GRANULE/*/IMG_DATA/*_B02.jp2")(safe)
        with pytest.raises(MissingBandError, match=r"band B02 is missing: .*_B02\.jp2"):
            product.read_dn("B02", PixelWindow(0, 1, 0, 1))


def test_read_dn_closed_product_is_refused(l1c_safe: Path) -> None:
    product = open_product(str(l1c_safe))
    product.close()
    with pytest.raises(ValueError, match="closed"):
        product.read_dn("B02", PixelWindow(0, 1, 0, 1))


ITEM: dict[str, Any] = {
    "type": "Feature",
    "stac_version": "1.0.0",
    "id": "S2B_32TNN_20230601_0_L2A",
    "collection": "sentinel-2-l2a",
    "geometry": {"type": "Point", "coordinates": [10.3, 45.1]},
    "bbox": [10.2, 45.1, 10.4, 45.2],
    "properties": {
        "datetime": "2023-06-01T10:16:01Z",
        "constellation": "sentinel-2",
        "eo:cloud_cover": 12.5,
        "s2:processing_baseline": "05.09",
    },
    "links": [],
    "assets": {
        "blue": {
            "href": "./B02.jp2",
            "eo:bands": [{"name": "blue", "common_name": "blue"}],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1, "spatial_resolution": 10}],
        },
        "thumbnail": {"href": "./blue.jpg", "roles": ["thumbnail"]},
    },
}


def write_item(folder: Path, **changes: Any) -> Path:
    document = {**ITEM, **changes}
    write_jp2(folder / "B02.jp2", band_dn("B02", 10, SafeSpec()), 10)
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path


def test_open_product_item_without_projection_reads_it_from_the_raster(tmp_path: Path) -> None:
    with open_product(str(write_item(tmp_path))) as product:
        assert (product.epsg, product.shape_yx, product.level) == (EPSG, (120, 180), "L2A")
        assert (product.cloud_cover, product.processing_baseline) == (12.5, "05.09")
        assert np.array_equal(
            product.read_dn("B02", PixelWindow(3, 9, 4, 8)),
            band_dn("B02", 10, SafeSpec())[3:9, 4:8],
        )
        assert product.read_lost(["B02"], PixelWindow(0, 5, 0, 5)) is None


@pytest.mark.parametrize("key", ["proj:epsg", "proj:code"])
def test_open_product_item_with_projection_takes_it(tmp_path: Path, key: str) -> None:
    properties = {**ITEM["properties"], key: EPSG if key == "proj:epsg" else f"EPSG:{EPSG}"}
    asset = {
        **ITEM["assets"]["blue"],
        "proj:shape": [120, 180],
        "proj:transform": [10, 0, LEFT, 0, -10, TOP, 0, 0, 1],
    }
    path = write_item(tmp_path, properties=properties, assets={"blue": asset})
    (tmp_path / "B02.jp2").unlink()
    with open_product(str(path)) as product:
        assert (product.epsg, product.shape_yx) == (EPSG, (120, 180))
        assert tuple(product.transform[:6]) == (10, 0, LEFT, 0, -10, TOP)


def test_open_product_old_stac_version_is_migrated(tmp_path: Path) -> None:
    properties = {**ITEM["properties"], "proj:epsg": EPSG}
    schema = "https://stac-extensions.github.io/projection/v1.0.0/schema.json"
    path = write_item(
        tmp_path, stac_version="1.0.0-rc.1", properties=properties, stac_extensions=[schema]
    )
    with open_product(str(path)) as product:
        assert product.item.properties["proj:code"] == f"EPSG:{EPSG}"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no JSON"),
        ("[1]", "holds a JSON list"),
        ('{"type": "Collection"}', "a Collection; give the item"),
        ('{"type": "FeatureCollection", "features": []}', "a FeatureCollection"),
        ('{"hello": 1}', "other JSON"),
        (json.dumps({**ITEM, "properties": {}}), "no valid STAC item"),
        (json.dumps({**ITEM, "stac_version": None}), "no valid STAC item"),
        ('{"type": "Feature", "id": "x", "assets": {}}', "no valid STAC item"),
        (json.dumps({**ITEM, "assets": {"blue": 3}}), "no valid STAC item"),
        (
            json.dumps(
                {
                    **ITEM,
                    "collection": "landsat-c2-l2",
                    "properties": {"datetime": "2023-06-01T10:16:01Z", "platform": "landsat-9"},
                }
            ),
            "not of Sentinel-2: platform 'landsat-9'",
        ),
        (json.dumps({**ITEM, "assets": {}}), "no asset that is a band"),
        (
            json.dumps({**ITEM, "id": "x", "collection": "sentinel-2"}),
            "does not tell its processing level",
        ),
    ],
)
def test_open_product_unusable_json_says_why(tmp_path: Path, document: str, message: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(document)
    with pytest.raises(ProductError, match=message) as caught:
        open_product(str(path))
    assert "\n" not in str(caught.value)


def test_open_product_url_reads_the_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jp2(tmp_path / "B02.jp2", band_dn("B02", 10, SafeSpec()), 10)
    asset = {**ITEM["assets"]["blue"], "href": (tmp_path / "B02.jp2").as_uri()}
    data = json.dumps({**ITEM, "assets": {"blue": asset}}).encode()
    monkeypatch.setattr(urllib.request, "urlopen", lambda *args, **options: io.BytesIO(data))
    with open_product("https://stac.example/items/x") as product:
        assert product.read_dn("B02", PixelWindow(0, 2, 0, 2)).shape == (2, 2)
        assert product.item.get_self_href() == "https://stac.example/items/x"


def test_open_product_unreachable_url_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(ProductError, match="cannot be reached: Name or service not known"):
        open_product("https://stac.example/items/x")


def test_open_product_missing_url_gives_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: urllib.request.Request, **options: Any) -> Any:
        raise urllib.error.HTTPError(request.full_url, 404, "Not Found", {}, io.BytesIO())  # type: ignore[arg-type]

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    with pytest.raises(ProductError, match="HTTP 404 Not Found"):
        open_product("https://stac.example/items/x")


def test_open_product_endless_document_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "item.json"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(ProductError, match="larger than 64 MiB"):
        open_product(str(path))


def test_open_product_failure_leaves_no_temporary_folder(
    make_safe: MakeSafe, tmp_path: Path
) -> None:
    safe = make_safe()
    remove("GRANULE/*/MTD_TL.xml")(safe)
    archive = zip_folder(safe, tmp_path / "product.zip")
    work = tmp_path / "work"
    with pytest.raises(ProductError, match="no granule"):
        open_product(str(archive), workdir=work)
    assert os.listdir(work) == []  # noqa: PTH208 - the shortest way to show what is left


def test_open_product_mask_named_but_absent_is_left_out_with_a_warning(
    make_safe: MakeSafe, caplog: pytest.LogCaptureFixture
) -> None:
    safe = make_safe()
    remove("GRANULE/*/QI_DATA/MSK_QUALIT_B02.jp2")(safe)
    with open_product(str(safe)) as product:
        assert product.absent_masks == ("MSK_QUALIT_B02.jp2",)
        lost = product.read_lost(["B02"], PixelWindow(0, 120, 0, 180))
    assert lost is not None
    assert not lost[:, 12:].any()
    assert "MSK_QUALIT_B02.jp2" in caplog.text
