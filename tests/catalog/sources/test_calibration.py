"""What numbers mean comes from the product's own metadata, band by band."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kappamask_catalog.sources import open_product
from kappamask_catalog.sources.calibration import asset_calibration, band_name
from kappamask_udf.errors import CorruptDataError, ProductError
from kappamask_udf.pixels import Calibration
from tests.catalog.sources.safes import BAND_IDS, EPSG, LEFT, TOP, SafeSpec, product_xml

MakeSafe = Callable[..., Path]


@pytest.mark.parametrize("level", ["L1C", "L2A"])
def test_calibration_safe_is_read_by_band_id(make_safe: MakeSafe, level: str) -> None:
    safe = make_safe(level=level, quantification=9000, offsets={"B8A": -700})
    with open_product(str(safe)) as product:
        assert product.calibration("B02") == Calibration(9000, -1000)
        assert product.calibration("B8A") == Calibration(9000, -700)


def test_calibration_other_spectral_order_is_followed(make_safe: MakeSafe) -> None:
    order = ("B12", *BAND_IDS[:12])
    safe = make_safe(spectral_bands=order, offsets={"B02": -500, "B01": -600})
    with open_product(str(safe)) as product:
        assert product.calibration("B02").offset == -500


def test_calibration_without_spectral_list_takes_the_standard_order(make_safe: MakeSafe) -> None:
    safe = make_safe(offsets={"B8A": -700, "B09": -800})
    path = safe / "MTD_MSIL1C.xml"
    path.write_text(path.read_text().replace("Spectral_Information ", "Other "))
    with open_product(str(safe)) as product:
        assert product.calibration("B8A").offset == -700


def test_calibration_before_baseline_0400_has_no_offset(old_l1c_safe: Path) -> None:
    with open_product(str(old_l1c_safe)) as product:
        assert product.calibration("B02") == Calibration(10000, 0)


@pytest.mark.parametrize("layer", ["AOT", "WVP"])
def test_calibration_layer_has_its_own_quantification(l2a_safe: Path, layer: str) -> None:
    with open_product(str(l2a_safe)) as product:
        assert product.calibration(layer) == Calibration(1000, 0)


def test_calibration_new_baseline_without_offsets_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe(offset=None)
    with pytest.raises(CorruptDataError, match=r"no RADIO_ADD_OFFSET.*05\.09 needs"):
        open_product(str(safe))


def test_calibration_offset_that_is_no_number_is_an_error(make_safe: MakeSafe) -> None:
    safe = make_safe()
    path = safe / "MTD_MSIL1C.xml"
    path.write_text(path.read_text().replace('band_id="3">-1000', 'band_id="3">low'))
    with pytest.raises(CorruptDataError, match="RADIO_ADD_OFFSET of band id '3' is no number"):
        open_product(str(safe))


def test_calibration_is_written_to_the_item(make_safe: MakeSafe) -> None:
    safe = make_safe(quantification=20000, offsets={"B02": -500})
    with open_product(str(safe)) as product:
        fields = product.item.assets["blue"].extra_fields["raster:bands"][0]
    assert (fields["scale"], fields["offset"]) == (1 / 20000, -500 / 20000)


def item_file(folder: Path, asset: dict[str, Any], **properties: Any) -> Path:
    """An item of one band without any file of the product."""
    place = {"proj:shape": [120, 180], "proj:transform": [10, 0, LEFT, 0, -10, TOP]}
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2B_32TNN_20230601_0_L2A",
        "collection": "sentinel-2-l2a",
        "geometry": None,
        "properties": {"datetime": "2023-06-01T10:16:01Z", "proj:epsg": EPSG, **properties},
        "links": [],
        "assets": {"B02": {"href": "./B02.tif", **place, **asset}},
    }
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "asset",
    [
        {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]},
        {"bands": [{"name": "B02", "raster:scale": 0.0001, "raster:offset": -0.1}]},
        {"raster:scale": 0.0001, "raster:offset": -0.1},
    ],
)
def test_calibration_item_takes_scale_and_offset_of_the_asset(
    tmp_path: Path, asset: dict[str, Any]
) -> None:
    with open_product(str(item_file(tmp_path, asset))) as product:
        assert product.calibration("B02") == Calibration(10000, -1000)


@pytest.mark.parametrize("flag", ["earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"])
def test_calibration_item_with_offset_applied_has_none(tmp_path: Path, flag: str) -> None:
    asset = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
    with open_product(str(item_file(tmp_path, asset, **{flag: True}))) as product:
        assert product.calibration("B02") == Calibration(10000, 0)


def test_calibration_item_with_offset_not_applied_keeps_it(tmp_path: Path) -> None:
    asset = {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]}
    path = item_file(tmp_path, asset, **{"earthsearch:boa_offset_applied": False})
    with open_product(str(path)) as product:
        assert product.calibration("B02") == Calibration(10000, -1000)


def with_product_metadata(path: Path, spec: SafeSpec) -> Path:
    document = json.loads(path.read_text())
    document["assets"]["product_metadata"] = {"href": "./metadata.xml", "roles": ["metadata"]}
    path.with_name("metadata.xml").write_text(product_xml(spec, []))
    path.write_text(json.dumps(document))
    return path


def test_calibration_item_believes_the_product_metadata_first(tmp_path: Path) -> None:
    path = item_file(tmp_path, {"raster:bands": [{"scale": 0.0001, "offset": 0}]})
    with_product_metadata(path, SafeSpec(level="L2A", offsets={"B02": -900}))
    with open_product(str(path)) as product:
        assert product.calibration("B02") == Calibration(10000, -900)


def test_calibration_item_with_offset_applied_takes_no_offset_of_the_metadata(
    tmp_path: Path,
) -> None:
    path = item_file(tmp_path, {}, **{"earthsearch:boa_offset_applied": True})
    with_product_metadata(path, SafeSpec(level="L2A", quantification=9000))
    with open_product(str(path)) as product:
        assert product.calibration("B02") == Calibration(9000, 0)


def test_calibration_item_with_unreachable_metadata_takes_the_asset(tmp_path: Path) -> None:
    path = item_file(tmp_path, {"raster:bands": [{"scale": 0.0001, "offset": -0.1}]})
    with_product_metadata(path, SafeSpec()).with_name("metadata.xml").unlink()
    with open_product(str(path)) as product:
        assert product.calibration("B02") == Calibration(10000, -1000)


def test_calibration_item_that_tells_nothing_is_an_error(tmp_path: Path) -> None:
    with (
        open_product(str(item_file(tmp_path, {}))) as product,
        pytest.raises(ProductError, match="calibration of band B02 is unknown"),
    ):
        product.calibration("B02")


@pytest.mark.parametrize(("baseline", "known"), [("02.14", True), ("04.00", False), (None, False)])
def test_asset_calibration_scale_alone_is_enough_only_before_0400(
    baseline: str | None, known: bool
) -> None:
    fields = {"raster:bands": [{"scale": 0.0001}]}
    if known:
        assert asset_calibration(fields, "B02", False, baseline) == Calibration(10000, 0)
    else:
        with pytest.raises(ProductError, match="offset None"):
            asset_calibration(fields, "B02", False, baseline)


@pytest.mark.parametrize("scale", [0, -0.0001, float("inf"), float("nan")])
def test_asset_calibration_unusable_scale_is_an_error(scale: float) -> None:
    with pytest.raises(ProductError, match="is unknown"):
        asset_calibration({"raster:bands": [{"scale": scale, "offset": 0}]}, "B02", False, None)


@pytest.mark.parametrize(("text", "name"), [("B2", "B02"), ("b8a", "B8A"), ("B12", "B12")])
def test_band_name_short_forms_are_filled_up(text: str, name: str) -> None:
    assert band_name(text) == name
