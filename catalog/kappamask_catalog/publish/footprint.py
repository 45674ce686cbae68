"""What a mask covers on the ground: where its product has data."""

from pathlib import Path
from typing import Any

import antimeridian
import numpy as np
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from rasterio.features import shapes
from shapely.geometry import mapping, shape
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from kappamask_catalog.publish.previews import read_reduced
from kappamask_udf.classes import MaskClass

DEGREE_DIGITS = 6
_EDGE_POINTS = 21  # Per side of the window, since straight edges of a UTM grid are bent in degrees.
_SIMPLIFY_DEG = 2e-5  # About 2 m, a fifth of a pixel.
_REDUCED_PX = 687
"""Side of the picture of a full mask in which its valid area is looked for: cells of 160 m."""
_SMALLEST_CELLS = 16
"""Holes and islands with fewer cells of that picture are left out."""


def outline(epsg: int, transform: Affine, shape_yx: tuple[int, int]) -> BaseGeometry:
    """A raster's edge in WGS 84, split at the antimeridian (RFC 7946)."""
    (rows, cols), west, north = shape_yx, transform.c, transform.f
    box = shapely.box(west, north + transform.e * rows, west + transform.a * cols, north)
    side = max(transform.a * cols, -transform.e * rows)
    return _to_degrees(shapely.segmentize(box, side / (_EDGE_POINTS - 1)), epsg)


def valid_area(mask: Path) -> BaseGeometry | None:
    """Where a mask is not missing, in WGS 84, to about two cells of 160 m for a full product;
    `None` where nothing is missing, or everything.
    """
    reduced = read_reduced(mask, _REDUCED_PX)
    is_valid = reduced != MaskClass.MISSING
    if is_valid.all() or not is_valid.any():
        return None
    with rasterio.open(mask) as dataset:
        epsg = dataset.crs.to_epsg()
        factor_y, factor_x = (
            full / small for full, small in zip(dataset.shape, reduced.shape, strict=True)
        )
        grid = dataset.transform * Affine.scale(factor_x, factor_y)
    cell = max(grid.a, -grid.e)
    smallest = _SMALLEST_CELLS * cell**2
    found = (
        shapely.Polygon(one["coordinates"][0], one["coordinates"][1:])
        for one, _ in shapes(is_valid.astype(np.uint8), mask=is_valid, transform=grid)
    )
    pieces = [_without_specks(piece, smallest) for piece in found if piece.area > smallest]
    if not pieces:
        return None
    # Half a cell more, so that what was sampled beside the edge is inside.
    grown = shapely.union_all(pieces).buffer(cell / 2, join_style="mitre")
    return _to_degrees(shapely.segmentize(grown.simplify(cell / 2), 5000), epsg)


def _without_specks(polygon: shapely.Polygon, smallest: float) -> shapely.Polygon:
    holes = [ring for ring in polygon.interiors if shapely.Polygon(ring).area > smallest]
    return shapely.Polygon(polygon.exterior, holes)


def _to_degrees(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    project = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    degrees = shapely.transform(geometry, lambda xy: np.column_stack(project(xy[:, 0], xy[:, 1])))
    return shape(antimeridian.fix_shape(mapping(degrees), fix_winding=True))


def common_area(first: BaseGeometry, *others: BaseGeometry | None) -> BaseGeometry:
    """`first` inside each of the others that meets it, exterior rings counter-clockwise."""
    geometry = first
    for other in others:
        if other is None:
            continue
        common = shapely.intersection(geometry, shapely.make_valid(other))
        polygons = [part for part in shapely.get_parts(common) if part.area > 0]
        if polygons:
            geometry = shapely.union_all(polygons)
    simple = shapely.simplify(geometry, _SIMPLIFY_DEG)
    # As RFC 7946 asks.
    parts = [orient(part) for part in shapely.get_parts(simple)]
    return parts[0] if len(parts) == 1 else shapely.multipolygons(parts)


def as_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    """GeoJSON with coordinates of about a decimetre."""
    rounded = shapely.transform(geometry, lambda xy: xy.round(DEGREE_DIGITS))
    document: dict[str, Any] = mapping(rounded)
    return document


def as_bbox(geometry: BaseGeometry) -> list[float]:
    """West, south, east, north; west > east across the antimeridian."""
    return [round(value, DEGREE_DIGITS) for value in antimeridian.bbox(mapping(geometry))]
