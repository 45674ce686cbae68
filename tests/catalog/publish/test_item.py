"""The item of a mask: what it says, and that it is valid STAC whatever the product's item was."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import antimeridian
import numpy as np
import pystac
import pytest
import shapely
from affine import Affine
from shapely.geometry import mapping, shape

from kappamask_catalog.publish.cog import CogWriter, build_mask_profile
from kappamask_catalog.publish.item import MaskRecord, build_mask_item, mask_item_id
from kappamask_catalog.publish.validation import validate_item
from kappamask_udf.classes import MaskClass

from .conftest import (
    COUNTS,
    DATA_SPACE,
    EARTH_SEARCH,
    EPSG,
    SHAPE_YX,
    STACTOOLS,
    TRANSFORM,
    outline,
    product_item,
)

MakeRecord = Callable[..., MaskRecord]
FOLDER = Path("/results/mask")


def build(record: MaskRecord) -> dict[str, Any]:
    item = build_mask_item(record, FOLDER).to_dict(include_self_link=False)
    document: dict[str, Any] = json.loads(json.dumps(item, allow_nan=False))
    return document


@pytest.mark.parametrize("properties", [STACTOOLS, EARTH_SEARCH, DATA_SPACE, {}])
def test_item_of_any_catalog_is_valid(make_record: MakeRecord, properties: dict[str, Any]) -> None:
    item = build(make_record(source=product_item(properties)))
    assert validate_item(item) == []
    assert item["stac_version"] == "1.1.0"


@pytest.mark.parametrize("properties", [STACTOOLS, EARTH_SEARCH, DATA_SPACE])
def test_item_tile_and_sun_are_carried(make_record: MakeRecord, properties: dict[str, Any]) -> None:
    carried = build(make_record(source=product_item(properties)))["properties"]
    assert carried["grid:code"] == "MGRS-33TVL"
    assert carried["mgrs:utm_zone"] == 33
    assert carried["mgrs:latitude_band"] == "T"
    assert carried["mgrs:grid_square"] == "VL"
    assert 160 < carried["view:sun_azimuth"] < 191
    assert 44 < carried["view:sun_elevation"] < 51
    assert carried["constellation"] == "sentinel-2"


def test_item_s2_fields_are_carried_but_deprecated_ones(make_record: MakeRecord) -> None:
    properties = build(make_record())["properties"]
    assert properties["s2:processing_baseline"] == "05.10"
    assert properties["s2:product_uri"].startswith("S2A_MSIL1C_20240310")
    assert properties["view:incidence_angle"] == 5.25
    assert properties["sat:relative_orbit"] == 79
    assert "s2:mgrs_tile" not in properties


def test_item_tile_in_the_id_is_enough(make_record: MakeRecord) -> None:
    assert build(make_record(source=product_item({})))["properties"]["grid:code"] == "MGRS-33TVL"


def test_item_times_are_of_acquisition_and_processing(make_record: MakeRecord) -> None:
    properties = build(make_record())["properties"]
    assert properties["datetime"] == "2024-03-10T10:00:21Z"
    assert properties["created"] == "2026-01-02T03:04:05Z"


def test_item_cloud_cover_is_clouds_over_valid_pixels(make_record: MakeRecord) -> None:
    properties = build(make_record())["properties"]
    assert properties["eo:cloud_cover"] == 25.0  # (500 + 1500) / 8000
    assert properties["kappamask:product_cloud_cover"] == 33.5


def test_item_without_valid_pixels_has_no_cloud_cover(make_record: MakeRecord) -> None:
    counts = dict.fromkeys(MaskClass, 0) | {MaskClass.MISSING: 7}
    item = build(make_record(class_counts=counts))
    assert "eo:cloud_cover" not in item["properties"]
    assert not any("/eo/" in uri for uri in item["stac_extensions"])
    assert validate_item(item) == []


def test_item_shares_are_over_valid_pixels_and_undefined_ones_do_not_count(
    make_record: MakeRecord,
) -> None:
    properties = build(make_record())["properties"]
    assert properties["kappamask:class_percentages"] == {
        "clear": 62.5, "cloud_shadow": 12.5, "semi_transparent_cloud": 6.25, "cloud": 18.75,
    }  # fmt: skip
    assert properties["kappamask:missing_percentage"] == 20.0  # 2000 / 10000
    assert properties["kappamask:class_areas"]["cloud"] == 0.15  # 1500 px of 100 m2
    assert sum(properties["kappamask:class_areas"].values()) == pytest.approx(1.0)


def test_item_dilation_is_recorded_and_shares_stay(make_record: MakeRecord) -> None:
    plain, grown = build(make_record()), build(make_record(dilation_m=50.0))
    assert grown["properties"]["kappamask:dilation"] == 50
    assert "before dilation" in grown["properties"]["description"]
    assert "dilated by 50 m" in grown["properties"]["processing:lineage"]
    for name in ("eo:cloud_cover", "kappamask:class_percentages"):
        assert grown["properties"][name] == plain["properties"][name]


def test_item_projection_is_that_of_the_raster(make_record: MakeRecord) -> None:
    properties = build(make_record())["properties"]
    assert properties["proj:code"] == f"EPSG:{EPSG}"
    assert properties["proj:shape"] == list(SHAPE_YX)
    assert properties["proj:transform"][:6] == [10, 0, 399960, 0, -10, 5000040]
    assert properties["proj:bbox"] == [399960, 4998840, 400860, 5000040]


def test_item_processing_names_software_model_and_device(make_record: MakeRecord) -> None:
    properties = build(make_record(device="cuda", facility="Test farm"))["properties"]
    assert properties["processing:software"]["openeo-kappamask"] == "0.1.0"
    assert properties["processing:level"] == "L4"
    assert properties["processing:facility"] == "Test farm"
    assert "ukis-csmask-6b-l1c 1.0.0" in properties["processing:lineage"]
    assert properties["kappamask:model"] == "ukis-csmask-6b-l1c"
    assert properties["kappamask:model_version"] == "1.0.0"
    assert properties["kappamask:not_predicted"] == ["semi_transparent_cloud"]
    assert properties["kappamask:device"] == "cuda"


def test_item_assets_have_true_sizes_and_checksums(
    make_record: MakeRecord, result_files: dict[str, Path]
) -> None:
    assets = build(make_record())["assets"]
    assert set(assets) == set(result_files)
    for key, path in result_files.items():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert assets[key]["file:checksum"] == f"1220{digest}"
        assert assets[key]["file:size"] == path.stat().st_size
        assert assets[key]["href"] == f"./{path.name}"


def test_item_mask_asset_lists_the_classes(make_record: MakeRecord) -> None:
    asset = build(make_record())["assets"]["mask"]
    assert [one["value"] for one in asset["classification:classes"]] == [0, 1, 2, 3, 4, 5]
    assert [one["name"] for one in asset["classification:classes"] if one.get("nodata")] == [
        "undefined"
    ]
    assert (asset["data_type"], asset["nodata"]) == ("uint8", 0)
    assert asset["raster:spatial_resolution"] == 10
    assert asset["type"] == pystac.MediaType.COG
    assert "data" in asset["roles"]


def test_item_probability_bands_are_the_classes(make_record: MakeRecord) -> None:
    asset = build(make_record())["assets"]["probabilities"]
    assert [band["name"] for band in asset["bands"]] == [one.stac_name for one in MaskClass]
    assert asset["data_type"] == "float32"


def test_item_links_lead_to_product_and_model(make_record: MakeRecord) -> None:
    links = {link["rel"]: link for link in build(make_record())["links"]}
    assert links["derived_from"]["href"].endswith("/S2A_T33TVL_20240310T100021_L1C")
    assert links["mlm:model"]["href"] == "./model.json"
    assert links["mlm:model"]["mlm:name"] == "ukis-csmask-6b-l1c"


def test_item_of_a_local_product_names_no_path_of_the_machine(make_record: MakeRecord) -> None:
    item = build(make_record(source_href="/results/products/a.SAFE"))
    (link,) = [link for link in item["links"] if link["rel"] == "derived_from"]
    assert link["href"] == "../products/a.SAFE"
    assert "/results" not in json.dumps(item)


def test_item_id_is_full_product_name_and_model_with_version(make_record: MakeRecord) -> None:
    """Ids of product items often leave out baseline and time of processing."""
    name = "S2A_MSIL1C_20240310T100021_N0510_R122_T33TVL_20240310T120000"
    assert mask_item_id(make_record()) == f"{name}_ukis-csmask-6b-l1c_v1.0.0"
    nameless = make_record(source=product_item(EARTH_SEARCH))
    assert mask_item_id(nameless) == "S2A_T33TVL_20240310T100021_L1C_ukis-csmask-6b-l1c_v1.0.0"


def test_item_names_product_acquisition_and_version(make_record: MakeRecord) -> None:
    properties = build(make_record())["properties"]
    name = "S2A_MSIL1C_20240310T100021_N0510_R122_T33TVL_20240310T120000"
    assert properties["kappamask:product"] == name
    assert properties["kappamask:acquisition"] == "s2a_33TVL_20240310T100021_20240310T100021"
    assert properties["version"] == "05.10-20240310T120000"
    assert properties["processing:version"] == "1.0.0"
    assert properties["processing:datetime"] == "2026-01-02T03:04:05Z"


def test_item_geometry_leaves_out_what_is_missing(
    make_record: MakeRecord, tmp_path: Path, result_files: dict[str, Path]
) -> None:
    classes = np.full(SHAPE_YX, MaskClass.CLEAR, np.uint8)
    classes[:, :45] = MaskClass.MISSING
    classes[60, 70] = MaskClass.MISSING
    with CogWriter(tmp_path / "half.tif", build_mask_profile(SHAPE_YX, TRANSFORM, EPSG)) as one:
        one.write(0, classes)
        one.finish()
    record = make_record(files={**result_files, "mask": tmp_path / "half.tif"})
    geometry = shape(build(record)["geometry"])
    right = outline(EPSG, TRANSFORM @ Affine.translation(45, 0), (120, 45))
    assert geometry.covers(right.buffer(-1e-5))
    assert geometry.symmetric_difference(right).area < right.area * 3e-2
    assert geometry.geom_type == "Polygon"
    assert len(geometry.interiors) == 0


def test_item_id_same_area_is_the_same_and_others_differ(make_record: MakeRecord) -> None:
    area = outline(EPSG, TRANSFORM, SHAPE_YX)
    again = shapely.from_wkt(shapely.to_wkt(area, rounding_precision=12))
    requests: list[dict[str, Any]] = [
        {},
        {"area": area},
        {"area": area.buffer(-0.001)},
        {"dilation_m": 20.0},
        {"resolution_m": 20},
    ]
    ids = [mask_item_id(make_record(**request)) for request in requests]
    assert len(set(ids)) == len(ids)
    assert mask_item_id(make_record(area=again)) == ids[1]


def test_item_geometry_is_the_raster_inside_the_product(make_record: MakeRecord) -> None:
    geometry = shape(build(make_record())["geometry"])
    expected = outline(EPSG, TRANSFORM, SHAPE_YX)
    assert geometry.symmetric_difference(expected).area < expected.area * 1e-2
    assert geometry.exterior.is_ccw


def test_item_geometry_follows_the_area_of_interest(make_record: MakeRecord) -> None:
    whole = outline(EPSG, TRANSFORM, SHAPE_YX)
    west, south, east, north = whole.buffer(-0.0005).bounds
    triangle = shapely.Polygon([(west, south), (east, south), (west, north)])
    geometry = shape(build(make_record(area=triangle))["geometry"])
    assert geometry.symmetric_difference(triangle).area < triangle.area * 2e-2


def test_item_geometry_follows_a_product_that_is_half_empty(make_record: MakeRecord) -> None:
    half = outline(EPSG, TRANSFORM, (60, 90))
    geometry = shape(build(make_record(source=product_item(STACTOOLS, half)))["geometry"])
    assert geometry.symmetric_difference(half).area < half.area * 2e-2


def test_item_at_the_antimeridian_is_split(make_record: MakeRecord) -> None:
    # UTM zone 60, 177 E is its middle: at 65 N the antimeridian is 141 km to the east.
    transform = Affine(10, 0, 640000, 0, -10, 7215000)
    corners = outline(32660, transform, (500, 500))
    split = shape(antimeridian.fix_shape(mapping(corners)))
    record = make_record(
        source=product_item(STACTOOLS, split), epsg=32660, transform=transform, shape_yx=(500, 500)
    )
    item = build(record)
    assert item["geometry"]["type"] == "MultiPolygon"
    west, _, east, _ = item["bbox"]
    assert west > 179
    assert east < -179
    assert shape(item["geometry"]).area == pytest.approx(split.area, rel=2e-2)
    assert validate_item(item) == []


def test_item_counts_are_not_changed(make_record: MakeRecord) -> None:
    before = dict(COUNTS)
    build(make_record())
    assert before == COUNTS
