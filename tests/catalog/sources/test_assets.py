"""Bands are found in the items of every catalogue that carries Sentinel-2."""

from typing import Any

import pystac
import pytest

from kappamask_catalog.sources.assets import find_band_assets


def make_item(assets: dict[str, dict[str, Any]]) -> pystac.Item:
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": "x",
            "geometry": None,
            "properties": {"datetime": "2023-06-01T10:16:01Z"},
            "links": [],
            "assets": {key: {"href": f"/data/{key}.jp2", **asset} for key, asset in assets.items()},
        }
    )


@pytest.mark.parametrize(
    ("key", "fields", "band", "metres"),
    [
        ("B02", {}, "B02", 10),  # Planetary Computer
        ("B8A", {"gsd": 20.0, "eo:bands": [{"name": "B8A"}]}, "B8A", 20),
        ("AOT", {"gsd": 10.0}, "AOT", 10),
        ("B02_10m", {"bands": [{"name": "B02"}], "gsd": 10}, "B02", 10),  # Copernicus
        ("B01_20m", {"bands": [{"name": "B01"}], "gsd": 60}, "B01", 20),
        ("WVP_60m", {}, "WVP", 60),
        ("blue", {"eo:bands": [{"name": "blue"}]}, "B02", 10),  # Earth Search
        ("nir08", {"eo:bands": [{"name": "nir08"}]}, "B8A", 20),
        ("rededge2-jp2", {"raster:bands": [{"spatial_resolution": 20}]}, "B06", 20),
        ("coastal", {"raster:bands": [{"spatial_resolution": 20}], "gsd": 60}, "B01", 20),
        ("swir22", {"eo:bands": [{"name": "B12"}]}, "B12", 20),  # stactools
        ("red_60m", {"eo:bands": [{"name": "B04"}]}, "B04", 60),
        ("aot", {"proj:transform": [20, 0, 0, 0, -20, 0]}, "AOT", 20),
        ("rededge071", {}, "B05", 20),
        ("cirrus", {}, "B10", 60),
    ],
)
def test_find_band_assets_key_of_a_catalogue_gives_band_and_resolution(
    key: str, fields: dict[str, Any], band: str, metres: int
) -> None:
    found = find_band_assets(make_item({key: fields}))
    assert [(asset.band, asset.resolution_m) for asset in found.values()] == [(band, metres)]


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("visual", {"eo:bands": [{"name": "red"}, {"name": "green"}, {"name": "blue"}]}),
        ("scl", {}),
        ("thumbnail", {}),
        ("blue", {"roles": ["overview"]}),
        ("granule_metadata", {"roles": ["metadata"]}),
    ],
)
def test_find_band_assets_other_asset_is_no_band(key: str, fields: dict[str, Any]) -> None:
    assert find_band_assets(make_item({key: fields})) == {}


def test_find_band_assets_name_of_the_band_goes_before_the_key() -> None:
    found = find_band_assets(make_item({"nir": {"eo:bands": [{"name": "B8A"}]}}))
    assert list(found) == ["B8A"]


def test_find_band_assets_finest_is_taken_whatever_the_order() -> None:
    found = find_band_assets(make_item({"B02_60m": {}, "B02_10m": {}, "B02_20m": {}}))
    assert found["B02"].key == "B02_10m"


def test_find_band_assets_converted_raster_goes_before_its_twin() -> None:
    found = find_band_assets(make_item({"blue-jp2": {}, "blue": {}}))
    assert found["B02"].key == "blue"
