"""Where the model windows of a product lie. Tiles are anchored at the product's origin, never at
the request, so that a pixel gets the same result whatever area is asked for.

One axis at a time; all numbers are pixels of the model's grid.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal.windows import tukey

from kappamask_udf.models.spec import Tiling


@dataclass(frozen=True)
class TileAxis:
    """The tiles along one axis of a grid of `size_px` cells."""

    size_px: int
    tiling: Tiling

    @cached_property
    def count(self) -> int:
        """Tiles along the axis: all that take part in the result of one of its cells."""
        tiling = self.tiling
        if tiling.count == "stride":
            return -(-(self.size_px - tiling.origin_px) // tiling.stride_px)
        if tiling.stitch == "crop":
            # The last tile is not cropped on its outer side, so it may end at the very edge.
            first_reach = tiling.origin_px + tiling.tile_px
            return 1 + max(0, -(-(self.size_px - first_reach) // tiling.stride_px))
        # Beyond the first tile that reaches the end others may still have weight before it.
        first_weight = tiling.origin_px + _trailing_zeros(tiling)
        return -(-(self.size_px - first_weight) // tiling.stride_px)

    def start(self, index: int) -> int:
        """First cell of a tile; may be negative."""
        return self.tiling.origin_px + index * self.tiling.stride_px

    def support(self, index: int) -> tuple[int, int]:
        """The cells whose result a tile takes part in, `[lo, hi)`, clipped to the axis."""
        start, tiling = self.start(index), self.tiling
        if tiling.stitch == "crop":
            lo = start + (tiling.crop_px if index > 0 else 0)
            hi = start + tiling.tile_px - (tiling.crop_px if index < self.count - 1 else 0)
            # Neighbours share no cell: where twice the crop is less than the overlap, the
            # earlier tile keeps what is left.
            if index > 0:
                lo = max(lo, self.start(index - 1) + tiling.tile_px - tiling.crop_px)
        else:
            zeros = _trailing_zeros(tiling)
            lo, hi = start + zeros, start + tiling.tile_px - zeros
        return max(lo, 0), min(hi, self.size_px)

    def tiles_touching(self, lo: int, hi: int) -> range:
        """Indices of the tiles that take part in the result of the cells `[lo, hi)`."""
        touching = [
            index
            for index in range(self.count)
            if self.support(index)[0] < hi and self.support(index)[1] > lo
        ]
        return range(touching[0], touching[-1] + 1)

    def cells(self, index: int) -> NDArray[np.intp]:
        """(tile_px,) the cell that each position of a tile is read from.

        Beyond the grid it is mirrored with the edge repeated (-1 -> 0, -2 -> 1), over and over
        where the grid is smaller than the tile; the same as `numpy.pad(mode="symmetric")`.
        """
        position = np.arange(self.tiling.tile_px) + self.start(index)
        folded = np.mod(position, 2 * self.size_px)
        mirrored: NDArray[np.intp] = np.minimum(folded, 2 * self.size_px - 1 - folded)
        return mirrored

    def weights(self, index: int) -> NDArray[np.float32]:
        """(tile_px,) float32 share of a tile in each cell; shares of one cell add up to 1.

        For `crop` they are 1 inside the support and 0 outside.
        """
        return _weights(self, index)


@lru_cache(maxsize=256)
def _weights(axis: TileAxis, index: int) -> NDArray[np.float32]:
    start, tiling = axis.start(index), axis.tiling
    if tiling.stitch == "crop":
        lo, hi = axis.support(index)
        inside = np.arange(start, start + tiling.tile_px)
        return ((inside >= lo) & (inside < hi)).astype(np.float32)
    window = _window(tiling)
    total = np.zeros(tiling.tile_px)
    for other in range(axis.count):
        shift = axis.start(other) - start
        if abs(shift) < tiling.tile_px:
            total += _shifted(window, shift)
    shares = np.divide(window, total, out=np.zeros_like(window), where=window > 0)
    return shares.astype(np.float32)


@lru_cache(maxsize=16)
def _window(tiling: Tiling) -> NDArray[np.float64]:
    window: NDArray[np.float64] = tukey(tiling.tile_px, tiling.tukey_alpha)
    return window


def _trailing_zeros(tiling: Tiling) -> int:
    """Positions without weight at either end of a blended tile."""
    if tiling.stitch == "crop":
        return 0
    return int(np.argmax(_window(tiling) > 0))


def _shifted(window: NDArray[np.float64], shift: int) -> NDArray[np.float64]:
    result = np.zeros_like(window)
    if shift >= 0:
        result[shift:] = window[: len(window) - shift]
    else:
        result[:shift] = window[-shift:]
    return result
