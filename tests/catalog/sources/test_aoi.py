"""Areas of interest snap outward to whole pixels of the product."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyproj
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from kappamask_catalog.sources import Product, aoi_window, open_product, read_aoi
from kappamask_catalog.sources.grid import ProductGrid
from kappamask_udf.errors import AoiError
from kappamask_udf.pixels import PixelWindow
from tests.catalog.sources.safes import EPSG, LEFT, TOP


@pytest.fixture(scope="module")
def product(l1c_safe: Path) -> Iterator[Product]:
    with open_product(str(l1c_safe)) as opened:
        yield opened


def place(epsg: int, left: float, top: float, side_px: int = 10980) -> Product:
    """What of a product the area of interest looks at, anywhere on Earth."""
    grid = ProductGrid(epsg, left, top, {10: (side_px, side_px)})
    return cast(Product, SimpleNamespace(grid=grid, id="S2A_TEST"))


FULL = place(EPSG, LEFT, TOP)


def degrees(x: float, y: float, epsg: int = EPSG) -> tuple[float, float]:
    lon, lat = pyproj.Transformer.from_crs(epsg, 4326, always_xy=True).transform(x, y)
    return float(lon), float(lat)


def write_geojson(folder: Path, document: Any) -> str:
    path = folder / "aoi.geojson"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def polygon(*pixels: tuple[float, float]) -> dict[str, Any]:
    """A GeoJSON polygon with corners at (row, col) of the product."""
    ring = [degrees(LEFT + col * 10, TOP - row * 10) for row, col in (*pixels, pixels[0])]
    return {"type": "Polygon", "coordinates": [ring]}


SQUARE = polygon((20, 30), (20, 60), (50, 60), (50, 30))


def test_aoi_window_box_covers_all_of_its_points() -> None:
    west, south, east, north = 10.30, 44.80, 10.70, 45.10
    window = aoi_window(read_aoi(f"{west},{south},{east},{north}"), FULL).window
    edges = np.linspace(0, 1, 400)
    lon = np.concatenate(
        [west + edges * (east - west)] * 2 + [np.full(400, west), np.full(400, east)]
    )
    lat = np.concatenate(
        [np.full(400, south), np.full(400, north)] + [south + edges * (north - south)] * 2
    )
    x, y = pyproj.Transformer.from_crs(4326, EPSG, always_xy=True).transform(lon, lat)
    rows, cols = (TOP - np.array(y)) / 10, (np.array(x) - LEFT) / 10
    assert (window.row0, window.row1) == (np.floor(rows.min()), np.ceil(rows.max()))
    assert (window.col0, window.col1) == (np.floor(cols.min()), np.ceil(cols.max()))


def test_aoi_window_box_has_no_outside(product: Product) -> None:
    found = aoi_window(read_aoi("10.27,45.14,10.28,45.15"), product)
    assert found.outside(found.window) is None


def test_aoi_window_box_is_clipped_to_the_product(product: Product) -> None:
    assert aoi_window(read_aoi("-180,-90,180,90"), product).window == PixelWindow(0, 120, 0, 180)


@pytest.mark.parametrize("align_px", [1, 2, 6])
def test_aoi_window_is_aligned_outward(product: Product, tmp_path: Path, align_px: int) -> None:
    shape = polygon((20.5, 31.5), (20.5, 60.5), (50.5, 60.5), (50.5, 31.5))
    window = aoi_window(read_aoi(write_geojson(tmp_path, shape)), product, align_px).window
    tight = PixelWindow(20, 51, 31, 61)
    assert window == tight.aligned(align_px)


def test_aoi_window_edges_on_pixel_edges_take_in_no_more(product: Product, tmp_path: Path) -> None:
    found = aoi_window(read_aoi(write_geojson(tmp_path, SQUARE)), product)
    assert found.window == PixelWindow(20, 50, 30, 60)
    assert found.outside(found.window) is not None
    assert not found.outside(found.window).any()  # type: ignore[union-attr]


def test_aoi_window_pixel_that_is_touched_is_inside(product: Product, tmp_path: Path) -> None:
    triangle = polygon((20.5, 30.5), (20.5, 60.5), (50.5, 30.5))
    found = aoi_window(read_aoi(write_geojson(tmp_path, triangle)), product)
    outside = found.outside(found.window)
    assert outside is not None
    shape = shapely.Polygon([(30.5, 20.5), (60.5, 20.5), (30.5, 50.5)])
    for row in range(found.window.row0, found.window.row1):
        for col in range(found.window.col0, found.window.col1):
            cell = shapely.box(col, row, col + 1, row + 1)
            if shape.intersection(cell).area > 1e-3:
                assert not outside[row - found.window.row0, col - found.window.col0]
            elif not shape.buffer(0.01).intersects(cell):
                assert outside[row - found.window.row0, col - found.window.col0]


def test_aoi_window_smaller_than_a_pixel_is_that_pixel(product: Product, tmp_path: Path) -> None:
    tiny = polygon((20.4, 30.4), (20.4, 30.6), (20.6, 30.6), (20.6, 30.4))
    found = aoi_window(read_aoi(write_geojson(tmp_path, tiny)), product)
    assert found.window == PixelWindow(20, 21, 30, 31)
    assert not found.outside(found.window).any()  # type: ignore[union-attr]


@settings(max_examples=30)
@given(data=st.data())
def test_aoi_outside_part_equals_the_crop_of_the_whole(data: st.DataObject) -> None:
    ring = [degrees(LEFT + x, TOP - y) for x, y in ((777, 333), (17003, 905), (9001, 12007))]
    aoi = replace(read_aoi("0,0,1,1"), polygons=(shapely.Polygon(ring),), is_box=False)
    found = aoi_window(aoi, place(EPSG, LEFT, TOP, 2000))
    row0, col0 = data.draw(st.integers(0, 1398)), data.draw(st.integers(0, 1798))
    row1 = data.draw(st.integers(row0 + 1, 1400))
    col1 = data.draw(st.integers(col0 + 1, 1800))
    whole = found.outside(PixelWindow(0, 1400, 0, 1800))
    part = found.outside(PixelWindow(row0, row1, col0, col1))
    assert whole is not None
    assert 0 < whole.mean() < 1
    assert np.array_equal(part, whole[row0:row1, col0:col1])


@pytest.mark.parametrize(
    "document",
    [
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        {"type": "Feature", "properties": {}, "geometry": SQUARE},
        {"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": SQUARE}]},
        {"type": "GeometryCollection", "geometries": [SQUARE]},
        {
            **SQUARE,
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
        },
    ],
)
def test_read_aoi_every_form_of_geojson_gives_the_same(
    product: Product, tmp_path: Path, document: dict[str, Any]
) -> None:
    window = aoi_window(read_aoi(write_geojson(tmp_path, document)), product).window
    assert window == PixelWindow(20, 50, 30, 60)


def test_read_aoi_heights_are_left_out(product: Product, tmp_path: Path) -> None:
    ring = [[*xy, 100.0] for xy in SQUARE["coordinates"][0]]
    aoi = read_aoi(write_geojson(tmp_path, {"type": "Polygon", "coordinates": [ring]}))
    assert aoi_window(aoi, product).window == PixelWindow(20, 50, 30, 60)


def test_read_aoi_polygon_that_crosses_itself_is_mended(product: Product, tmp_path: Path) -> None:
    bow = polygon((20, 30), (50, 60), (20, 60), (50, 30))
    found = aoi_window(read_aoi(write_geojson(tmp_path, bow)), product)
    outside = found.outside(found.window)
    assert found.window == PixelWindow(20, 50, 30, 60)
    assert outside is not None
    assert outside[2, 15]
    assert not outside[15, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "four numbers"),
        ("1,2,3,4,5", "four numbers"),
        ("1,2,three,4", "four numbers"),
        ("1,2,1,4", "has no area"),
        ("1,4,2,3", "has no area"),
        ("1,2,3,91", "leaves -180..180"),
        ("600000,4990000,610000,5000000", "leaves -180..180"),
        ("nan,2,3,4", "leaves -180..180"),
        ("nowhere.geojson", "neither west,south,east,north nor"),
    ],
)
def test_read_aoi_unusable_text_says_why(text: str, message: str) -> None:
    with pytest.raises(AoiError, match=message):
        read_aoi(text)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no JSON"),
        ({"type": "Point", "coordinates": [10, 45]}, "has a Point"),
        ({"type": "Feature", "geometry": None}, "a feature without a geometry"),
        ({"type": "FeatureCollection", "features": []}, "has no polygon"),
        ({"type": "GeometryCollection", "geometries": [{"type": "LineString"}]}, "LineString"),
        ({"type": "Polygon", "coordinates": []}, "without an area"),
        ({"type": "Polygon", "coordinates": [[[1, 1], [2, 2], [1, 1]]]}, "no polygon|an area"),
        ({"type": "Polygon", "coordinates": [[1, 2]]}, "no polygon"),
        ({"type": "Polygon", "coordinates": "here"}, "no polygon"),
        ({"type": "Polygon"}, "no polygon"),
        ({"type": "Polygon", "coordinates": [[[6e5, 5], [6e5, 4], [7e5, 5], [6e5, 5]]]}, "WGS 84"),
        ({**SQUARE, "crs": {"properties": {"name": "EPSG:32632"}}}, "another reference"),
        ({"hello": 1}, "has a None"),
    ],
)  # fmt: skip
def test_read_aoi_unusable_geojson_says_why(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(AoiError, match=message) as caught:
        read_aoi(write_geojson(tmp_path, document))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["20,45,21,46", "-170,-45,-169,-44", "10.0,45.2,10.1,45.3"])
def test_aoi_window_outside_of_the_product_gives_both_extents(product: Product, text: str) -> None:
    with pytest.raises(AoiError, match=r"lies outside of S2A_T32TNN.*\(10\.27\d+, 45\.13\d+, 10"):
        aoi_window(read_aoi(text), product)


@pytest.mark.parametrize(("epsg", "left"), [(32601, 300000), (32660, 600000)])
def test_aoi_window_box_over_the_antimeridian_meets_products_on_both_sides(
    epsg: int, left: float
) -> None:
    # At 60 degrees north: zone 1 begins at 180 west, zone 60 ends at 180 east.
    window = aoi_window(read_aoi("178.5,59.5,-178.5,60.5"), place(epsg, left, 6700020)).window
    assert window.shape_yx[0] > 9000
    assert window.shape_yx[1] > 5000


def test_aoi_window_product_over_the_antimeridian_is_met_from_the_other_side() -> None:
    # Zone 1 reaches beyond 180 degrees here; the area has eastern longitudes.
    product = place(32601, 199980, 6700020)
    lon, lat = degrees(205000, 6690000, 32601)
    assert lon > 0
    text = f"{lon - 0.01},{lat - 0.01},{lon + 0.01},{lat + 0.01}"
    window = aoi_window(read_aoi(text), product).window
    assert window.row0 < 1002 < window.row1
    assert window.col0 < 502 < window.col1


def test_read_aoi_box_over_the_antimeridian_keeps_its_bounds() -> None:
    assert read_aoi("178.5,59.5,-178.5,60.5").bounds == (178.5, 59.5, -178.5, 60.5)
