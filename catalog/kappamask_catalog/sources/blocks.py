"""Polygons on the 10 m grid, burnt block by block.

GDAL's rounding depends on where the burnt array begins. So blocks are anchored at the product's
corner and windows are put together from them: a window equals the crop of the whole.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.sources.grid import ProductGrid
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow

Bools = NDArray[np.bool_]
BLOCK_PX = 512
_CACHED_BLOCKS = 64


def blocks_of(
    window: PixelWindow, block_yx: tuple[int, int]
) -> Iterator[tuple[int, int, PixelWindow]]:
    """Row and column numbers of the blocks that a window touches, each with the shared part."""
    for row in range(window.row0 // block_yx[0], -(-window.row1 // block_yx[0])):
        for col in range(window.col0 // block_yx[1], -(-window.col1 // block_yx[1])):
            part = PixelWindow(
                max(window.row0, row * block_yx[0]), min(window.row1, (row + 1) * block_yx[0]),
                max(window.col0, col * block_yx[1]), min(window.col1, (col + 1) * block_yx[1]),
            )  # fmt: skip
            yield row, col, part


def assemble(
    window: PixelWindow, block_yx: tuple[int, int], block: Callable[[int, int], Bools | bool]
) -> Bools:
    """(rows, cols) bool of a window from blocks, of which uniform ones are a single value."""
    result = np.empty(window.shape_yx, np.bool_)
    for row, col, part in blocks_of(window, block_yx):
        values = block(row, col)
        target = result[
            part.row0 - window.row0 : part.row1 - window.row0,
            part.col0 - window.col0 : part.col1 - window.col0,
        ]
        if isinstance(values, bool):
            target[...] = values
        else:
            top, left = row * block_yx[0], col * block_yx[1]
            target[...] = values[
                part.row0 - top : part.row1 - top, part.col0 - left : part.col1 - left
            ]
    return result


def polygons_of(geometry: BaseGeometry) -> list[shapely.Polygon]:
    """The polygons with an area in a geometry of any type."""
    parts = shapely.get_parts(geometry)
    if len(parts) == 1 and parts[0].geom_type == "Polygon":
        return [parts[0]] if parts[0].area > 0 else []
    nested = (part for part in parts if part.geom_type not in ("Point", "LineString", "LinearRing"))
    return [polygon for part in nested for polygon in polygons_of(part)]


class BurntPolygons:
    """Which pixels of the 10 m grid polygons cover."""

    def __init__(
        self, polygons: Sequence[BaseGeometry], grid: ProductGrid, all_touched: bool
    ) -> None:
        """Keeps polygons for burning.

        Args:
            polygons: in the product's reference system, metres.
            grid: grid of the product.
            all_touched: whether a pixel counts that a polygon touches, or only one whose centre
                it covers.
        """
        self._polygons = np.array(polygons, dtype=object)
        self._tree = shapely.STRtree(self._polygons)
        self._grid = grid
        self._all_touched = all_touched
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], Bools | bool] = OrderedDict()

    def covered(self, window: PixelWindow) -> Bools:
        """(rows, cols) bool, True where a polygon covers the pixel."""
        return assemble(window, (BLOCK_PX, BLOCK_PX), self._block)

    def _block(self, row: int, col: int) -> Bools | bool:
        with self._lock:
            if (row, col) in self._cache:
                self._cache.move_to_end((row, col))
                return self._cache[row, col]
        values = self._burn(row, col)
        with self._lock:
            self._cache[row, col] = values
            while len(self._cache) > _CACHED_BLOCKS:
                self._cache.popitem(last=False)
        return values

    def _burn(self, row: int, col: int) -> Bools | bool:
        side_m = BLOCK_PX * NATIVE_RESOLUTION_M
        left, top = self._grid.left_m + col * side_m, self._grid.top_m - row * side_m
        box = shapely.box(left, top - side_m, left + side_m, top)
        near = self._polygons[np.sort(self._tree.query(box, predicate="intersects"))]
        if not len(near):
            return False
        if any(shapely.contains_properly(polygon, box) for polygon in near):
            return True
        transform = Affine(NATIVE_RESOLUTION_M, 0, left, 0, -NATIVE_RESOLUTION_M, top)
        burnt = rasterize(
            near, (BLOCK_PX, BLOCK_PX), fill=0, default_value=1,
            transform=transform, all_touched=self._all_touched, dtype="uint8",
        )  # fmt: skip
        covered: Bools = burnt.astype(np.bool_)
        return covered
