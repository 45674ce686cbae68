"""Outlines: the part of a scene with data, the detectors, and their corners in degrees."""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

from kappamask_catalog.scene.demo import EDGE_SLOPE, DemoScene
from kappamask_catalog.scene.geometry import EPSG, TILE_PX
from kappamask_udf.pixels import PixelWindow

# Twelve detectors share a swath of 290 km; each sees about 25 km, some 2550 pixels at 10 m.
_DETECTOR_PX = 2550
_MIDDLE_DETECTOR = 6
_DETECTORS = range(1, 13)


def scene_outline(scene: DemoScene) -> Polygon:
    """The whole scene in EPSG:32618 metres."""
    x, y = scene.corner_xy
    rows, cols = scene.shape_yx
    return box(x, y - 10 * rows, x + 10 * cols, y)


def window_outline(scene: DemoScene, window: PixelWindow) -> Polygon:
    """A window of a scene's 10 m pixels in EPSG:32618 metres."""
    x, y = scene.corner_xy
    return box(
        x + 10 * window.col0, y - 10 * window.row1, x + 10 * window.col1, y - 10 * window.row0
    )


def data_outline(scene: DemoScene) -> Polygon:
    """The part of a scene inside the swath, EPSG:32618 metres.

    All of it if there is no data, for a product has a footprint even so.
    """
    outline = scene_outline(scene)
    if scene.missing_share in (0, 1):
        return outline
    return _largest_polygon(outline.intersection(_west_of(scene, scene.edge_column(0.0))))


def detector_outlines(scene: DemoScene) -> dict[int, Polygon]:
    """What each detector that saw the scene covers of it, EPSG:32618 metres."""
    if scene.missing_share == 1:
        return {}
    data = data_outline(scene)
    row, col = scene.corner_px
    outlines = {}
    for detector in _DETECTORS:
        # columns at the scene's first row between which this detector looks
        start = (detector - _MIDDLE_DETECTOR) * _DETECTOR_PX - EDGE_SLOPE * row - col
        stripe = _west_of(scene, start + _DETECTOR_PX).difference(_west_of(scene, start))
        seen = data.intersection(stripe)
        if seen.area > 0:
            outlines[detector] = _largest_polygon(seen)
    return outlines


def detector_indices(scene: DemoScene, window: PixelWindow) -> NDArray[np.uint8]:
    """(rows, cols) uint8 index of the detector that saw each 10 m pixel, 0 where none did."""
    row, col = scene.corner_px
    rows = np.arange(window.row0, window.row1)[:, None] + 0.5 + row
    cols = np.arange(window.col0, window.col1)[None, :] + 0.5 + col
    stripe = np.floor((cols + EDGE_SLOPE * rows) / _DETECTOR_PX) + _MIDDLE_DETECTOR
    clipped = np.clip(stripe, _DETECTORS[0], _DETECTORS[-1])
    detector: NDArray[np.uint8] = clipped.astype(np.uint8)
    detector[scene.missing(window)] = 0
    return detector


def lat_lon_ring(polygon: Polygon) -> list[tuple[float, float]]:
    """Latitudes and longitudes of a polygon's outer ring, closed and clockwise as ESA's are."""
    xs, ys = zip(*orient(polygon, -1.0).exterior.coords, strict=True)
    latitudes, longitudes = to_lat_lon(np.array(xs), np.array(ys))
    return list(zip(latitudes.tolist(), longitudes.tolist(), strict=True))


def to_lat_lon(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes, degrees, of points in EPSG:32618 metres."""
    latitudes, longitudes = _transformer().transform(x, y)
    return latitudes, longitudes


@cache
def _transformer() -> Transformer:
    return Transformer.from_crs(EPSG, 4326)


def _west_of(scene: DemoScene, column_at_top: float) -> Polygon:
    """Everything west of a line that leans like the swath and meets the first row there."""
    x, y = scene.corner_xy
    reach = 4 * TILE_PX * 10
    line_x = x + 10 * column_at_top
    lean = EDGE_SLOPE * reach
    return Polygon(
        [
            (line_x + lean, y + reach),
            (line_x - lean, y - reach),
            (min(line_x, x) - reach - lean, y - reach),
            (min(line_x, x) - reach - lean, y + reach),
        ]
    )


def polygons(shape: BaseGeometry) -> list[Polygon]:
    """The polygons of any geometry that have an area."""
    parts = getattr(shape, "geoms", [shape])
    return [part for part in parts if isinstance(part, Polygon) and part.area > 0]


def _largest_polygon(shape: BaseGeometry) -> Polygon:
    return max(polygons(shape), key=lambda part: part.area)
