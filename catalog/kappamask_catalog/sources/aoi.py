"""The area that the user asks for, and the window of a product that it is.

Areas are given in WGS 84 longitude and latitude. They are brought to the product's grid with
edges cut short, since what is straight in degrees is bent in metres, and snapped outward to whole
pixels.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import shapely
import shapely.affinity
from numpy.typing import NDArray

from kappamask_catalog.sources.blocks import BurntPolygons, polygons_of
from kappamask_catalog.sources.documents import parse_json_object, read_document
from kappamask_catalog.sources.grid import ProductGrid
from kappamask_catalog.sources.product import Product
from kappamask_udf.errors import AoiError, ProductError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow

EDGE_STEP_DEG = 0.01
"""Length to which edges are cut before they are projected, degrees. An edge of 1.1 km is bent by
L^2 tan(latitude) / 8 R, which is 2 cm at 45 degrees, far below a pixel."""
_SNAP_PX = 1e-6  # Corners that lie on a pixel's edge up to rounding do not take in another pixel.
_MARGIN_DEG = 0.1  # Around the product's outline, whose edges are bent as well.
_OUTLINE_POINTS = 21  # Per side of the product, when it is brought to degrees.
# Names of WGS 84 that the former GeoJSON of 2008 may give; the present one has no other system.
_WGS84_NAMES = ("crs84", "epsg:4326", "epsg::4326", "wgs84")


@dataclass(frozen=True)
class Aoi:
    """An area of interest in WGS 84."""

    polygons: tuple[shapely.Polygon, ...]
    """Longitude, latitude in degrees; a box over the antimeridian is two."""
    is_box: bool
    """Whether it was given as a bounding box, inside of whose window all pixels count."""
    text: str
    """What the user gave."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north; west is greater than east over the antimeridian."""
        if self.is_box and len(self.polygons) == 2:
            (west, south, _, north), (_, _, east, _) = (part.bounds for part in self.polygons)
            return west, south, east, north
        west, south, east, north = shapely.union_all(self.polygons).bounds
        return west, south, east, north


@dataclass(frozen=True)
class AoiWindow:
    """An area of interest on the 10 m grid of a product."""

    window: PixelWindow
    """Whole pixels, inside the product."""
    _inside: BurntPolygons | None = field(default=None, repr=False)

    def outside(self, window: PixelWindow) -> NDArray[np.bool_] | None:
        """(rows, cols) bool of any window of the grid: True where no polygon touches the pixel.

        `None` for a bounding box, in whose window no pixel is outside. A part equals the crop of
        the whole.
        """
        return None if self._inside is None else ~self._inside.covered(window)


def read_aoi(text: str) -> Aoi:
    """Reads `west,south,east,north` in degrees, or a GeoJSON file with polygons.

    Args:
        text: for example `10.2,45.1,10.4,45.3`; west may be greater than east for a box over
            the antimeridian. Or the path of a file with a Polygon, MultiPolygon,
            GeometryCollection, Feature or FeatureCollection.

    Raises:
        AoiError: it cannot be read, has no area, or leaves the range of degrees.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and not Path(text).exists():
        return _parse_box(parts, text)
    if not Path(text).exists():
        raise AoiError(
            f"AOI {text!r} is neither west,south,east,north nor a GeoJSON file that exists"
        )
    try:
        document = parse_json_object(read_document(text), text)
    except ProductError as error:
        raise AoiError(f"AOI: {error}") from error
    _check_crs(document, text)
    polygons = [polygon for part in _geometries(document, text) for polygon in part]
    if not polygons:
        raise AoiError(f"AOI {text} has no polygon")
    return Aoi(tuple(polygons), is_box=False, text=text)


def _parse_box(parts: Sequence[str], text: str) -> Aoi:
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError as error:
        raise AoiError(
            f"AOI must be four numbers west,south,east,north or a GeoJSON file, got {text!r}"
        ) from error
    _check_range(np.array([[west, south], [east, north]]), text)
    if south >= north or west == east:
        raise AoiError(f"AOI {text} has no area: it needs south < north and west other than east")
    if west < east:
        boxes: tuple[shapely.Polygon, ...] = (shapely.box(west, south, east, north),)
    else:
        sides = ((west, 180.0), (-180.0, east))
        boxes = tuple(shapely.box(left, south, right, north) for left, right in sides)
        boxes = tuple(box for box in boxes if box.area > 0)
    return Aoi(boxes, is_box=True, text=text)


def _check_crs(document: Mapping[str, Any], text: str) -> None:
    crs = document.get("crs")
    name = str(crs).lower().replace(" ", "")
    if crs is not None and not any(known in name for known in _WGS84_NAMES):
        raise AoiError(
            f"AOI {text} is in another reference system ({crs}); GeoJSON is in WGS 84 longitude "
            "and latitude, convert it"
        )


def _geometries(document: Mapping[str, Any], text: str) -> Iterator[list[shapely.Polygon]]:
    """The polygons of every geometry in a GeoJSON object."""
    kind = document.get("type")
    children = {"FeatureCollection": "features", "GeometryCollection": "geometries"}.get(str(kind))
    if children is not None:
        for child in document.get(children) or ():
            if isinstance(child, Mapping):
                yield from _geometries(child, text)
    elif kind == "Feature":
        geometry = document.get("geometry")
        if not isinstance(geometry, Mapping):
            raise AoiError(f"AOI {text} has a feature without a geometry")
        yield from _geometries(geometry, text)
    elif kind in ("Polygon", "MultiPolygon"):
        yield _parse_polygons(document, text)
    else:
        raise AoiError(f"AOI {text} has a {kind}; it needs Polygon or MultiPolygon")


def _parse_polygons(geometry: Mapping[str, Any], text: str) -> list[shapely.Polygon]:
    try:
        shape = shapely.force_2d(shapely.geometry.shape(dict(geometry)))
    # shapely raises what happens to be raised where the coordinates are no nested lists.
    except (
        shapely.GEOSException,
        ValueError,
        TypeError,
        AttributeError,
        IndexError,
        KeyError,
    ) as error:
        raise AoiError(f"AOI {text} has coordinates that are no polygon: {error}") from error
    _check_range(shapely.get_coordinates(shape), text)
    polygons = polygons_of(shapely.make_valid(shape))
    if not polygons:
        raise AoiError(f"AOI {text} has a polygon without an area")
    return polygons


def _check_range(coordinates: NDArray[np.float64], text: str) -> None:
    if not np.isfinite(coordinates).all() or (np.abs(coordinates) > (180, 90)).any():
        raise AoiError(
            f"AOI {text} leaves -180..180 degrees of longitude or -90..90 of latitude; it must be "
            "in WGS 84, longitude first"
        )


def aoi_window(aoi: Aoi, product: Product, align_px: int = 1) -> AoiWindow:
    """The window of a product that an area covers.

    Args:
        aoi: the area.
        product: the product.
        align_px: the window's sides are multiples of this, counted from the product's corner
            (clipped to the product): 1, 2 or 6 for a result at 10, 20 or 60 m.

    Raises:
        AoiError: the area lies outside of the product.
    """
    grid = product.grid
    polygons = _projected(aoi, grid)
    window = _window(polygons, grid)
    if window is None:
        west, south, east, north = _degrees_outline(grid).bounds
        raise AoiError(
            f"the AOI ({_format(aoi.bounds)}) lies outside of {product.id} "
            f"({_format((west, south, east, north))}); both are west, south, east, north in degrees"
        )
    window = window.aligned(align_px).clipped(grid.shape_yx)
    return AoiWindow(window, None if aoi.is_box else BurntPolygons(polygons, grid, True))


def _format(bounds: tuple[float, float, float, float]) -> str:
    return ", ".join(f"{value:.4f}" for value in bounds)


def _degrees_outline(grid: ProductGrid) -> shapely.Polygon:
    """The product's outline in degrees, not broken at the antimeridian (so maybe beyond 180)."""
    west, south, east, north = grid.bounds
    outline = shapely.box(west, south, east, north).segmentize(
        max(east - west, north - south) / _OUTLINE_POINTS
    )
    transformer = pyproj.Transformer.from_crs(grid.epsg, 4326, always_xy=True)
    lon, lat = transformer.transform(*np.asarray(outline.exterior.coords).T)
    lon = np.asarray(lon)
    middle = lon[0]
    return shapely.Polygon(np.column_stack([middle + (lon - middle + 180) % 360 - 180, lat]))


def _projected(aoi: Aoi, grid: ProductGrid) -> list[shapely.Polygon]:
    """The parts of an area near a product, in the product's system.

    What is far away is cut off first, in degrees: a transverse Mercator projection has no sound
    coordinates there.
    """
    outline = _degrees_outline(grid)
    near = shapely.box(*outline.buffer(_MARGIN_DEG, join_style="mitre").bounds)
    transformer = pyproj.Transformer.from_crs(4326, grid.epsg, always_xy=True)

    def to_metres(coordinates: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(transformer.transform(*coordinates.T))

    found: list[shapely.Polygon] = []
    for polygon in aoi.polygons:
        for turn in (-360.0, 0.0, 360.0):
            moved = shapely.affinity.translate(polygon, turn)
            for part in polygons_of(shapely.intersection(moved, near)):
                cut = part.segmentize(EDGE_STEP_DEG)
                found.extend(polygons_of(shapely.make_valid(shapely.transform(cut, to_metres))))
    return found


def _window(polygons: Sequence[shapely.Polygon], grid: ProductGrid) -> PixelWindow | None:
    """Whole pixels around polygons, clipped to the product; `None` if there are none."""
    product = shapely.box(*grid.bounds)
    touching = [polygon for polygon in polygons if polygon.intersects(product)]
    if not touching:
        return None
    west, south, east, north = shapely.union_all(touching).bounds
    rows, cols = grid.shape_yx
    row0 = max(0, math.floor((grid.top_m - north) / NATIVE_RESOLUTION_M + _SNAP_PX))
    row1 = min(rows, math.ceil((grid.top_m - south) / NATIVE_RESOLUTION_M - _SNAP_PX))
    col0 = max(0, math.floor((west - grid.left_m) / NATIVE_RESOLUTION_M + _SNAP_PX))
    col1 = min(cols, math.ceil((east - grid.left_m) / NATIVE_RESOLUTION_M - _SNAP_PX))
    return PixelWindow(row0, row1, col0, col1) if row0 < row1 and col0 < col1 else None
