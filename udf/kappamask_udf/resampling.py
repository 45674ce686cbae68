"""Resampling between the 10, 20, 30 and 60 m grids of a product, in exact arithmetic; and the
windowed sinc of km_predict's tiler.

All grids share the product's upper-left corner. Down is the area mean, up is bilinear with
half-pixel centres. Both return a weighted sum and the sum of the weights, where weights are
small integers: digital numbers times weights stay below 2**24, so float32 holds every sum
exactly and a pixel's value cannot depend on the window in which it was computed.
Short names: `h, w` rows and columns of the input, `f` a whole factor.
"""

from functools import lru_cache
from math import lcm

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def area_sums(values: Floats, source_m: int, target_m: int) -> Floats:
    """Area-weighted sums of `values` over the cells of a coarser (or equal) grid.

    Args:
        values: (h, w) float32, whole numbers, beginning at a corner that both grids share.
        source_m: pixel size of `values`, metres.
        target_m: cell size of the result, metres; not below `source_m`.

    Returns:
        (h * source_m / target_m, w * source_m / target_m) float32; divide by `area_weight`, or
        by the `area_sums` of a validity mask to leave pixels out.

    Raises:
        ValueError: the sides are no whole number of cells.
    """
    summed = _area_sums_of_rows(values, source_m, target_m)
    return _area_sums_of_rows(summed.T, source_m, target_m).T


def area_weight(source_m: int, target_m: int) -> float:
    """The sum of the weights that `area_sums` gives to one full cell."""
    return float((lcm(source_m, target_m) // source_m) ** 2)


def _area_sums_of_rows(values: Floats, source_m: int, target_m: int) -> Floats:
    # In units of the common divisor a source row is `repeat` long and a target row `block`;
    # the pattern of weights repeats after `period` units.
    period = lcm(source_m, target_m)
    repeat, block = period // target_m, period // source_m
    rows_in, rows_out = block, repeat
    if values.shape[0] % rows_in:
        raise ValueError(
            f"side must be a multiple of {rows_in} to go from {source_m} m to {target_m} m, "
            f"got {values.shape[0]}"
        )
    result = np.empty((values.shape[0] // rows_in * rows_out, values.shape[1]), np.float32)
    for phase in range(rows_out):
        sources = [(block * phase + unit) // repeat for unit in range(block)]
        total = result[phase::rows_out]
        total[...] = values[sources[0] :: rows_in]
        for source in sources[1:]:
            total += values[source::rows_in]
    return result


def linear_sums(values: Floats, f: int) -> Floats:
    """Bilinear weighted sums of `values` on an `f` times finer grid, half-pixel centres.

    Args:
        values: (h + 2, w + 2) float32 whole numbers: h x w pixels and one pixel of context on
            every side (the edge repeated where the product ends).
        f: whole factor, 2 to 6.

    Returns:
        (h * f, w * f) float32; divide by `linear_weight(f)`, or by the `linear_sums` of a
        validity mask to leave pixels out.
    """
    # Columns first, while there are few rows, so that the large result is written row by row.
    across = np.ascontiguousarray(_linear_sums_of_rows(values.T, f).T)
    return _linear_sums_of_rows(across, f)


def linear_weight(f: int) -> float:
    """The sum of the weights that `linear_sums` gives to one fine pixel."""
    return float((2 * f) ** 2)


def _linear_sums_of_rows(values: Floats, f: int) -> Floats:
    inner = values.shape[0] - 2
    result = np.empty((inner * f, values.shape[1]), np.float32)
    for phase in range(f):
        # Fine row `phase` has its centre at (phase + 1/2) / f - 1/2 of the coarse row, which
        # is `shift / 2f`; weights are whole multiples of 1 / 2f.
        shift = 2 * phase + 1 - f
        neighbour = 0 if shift < 0 else 2
        out = result[phase::f]
        np.multiply(values[1 : 1 + inner], np.float32(2 * f - abs(shift)), out=out)
        if shift:
            out += np.float32(abs(shift)) * values[neighbour : neighbour + inner]
    return result


def upsample_linear(
    dn: NDArray[np.uint16], f: int, is_valid: NDArray[np.bool_] | None = None
) -> tuple[Floats, NDArray[np.bool_] | None]:
    """Digital numbers on an `f` times finer grid, bilinear, leaving invalid pixels out.

    Args:
        dn: (h + 2, w + 2) uint16 with one pixel of context on every side, see `linear_sums`.
        f: whole factor.
        is_valid: (h + 2, w + 2) bool, or `None` where all are valid.

    Returns:
        (h * f, w * f) float32 digital numbers, 0 where no valid pixel is near; and bool of the
        same shape, True where at least one was (`None` where `is_valid` is).
    """
    values = dn.astype(np.float32)
    if is_valid is None:
        return linear_sums(values, f) / np.float32(linear_weight(f)), None
    weights = linear_sums(is_valid.astype(np.float32), f)
    sums = linear_sums(np.where(is_valid, values, np.float32(0)), f)
    has_value = weights > 0
    return np.divide(sums, weights, out=np.zeros_like(sums), where=has_value), has_value


SINC_SUPPORT = 4.0
"""Of the windowed sinc, in pixels of the input. Source: GraphicsMagick, filter "Sinc"."""


def resize_sinc(dn: NDArray[np.uint16], size: int) -> NDArray[np.uint16]:
    """(h, w) uint16 stretched to (size, size) with a Blackman-windowed sinc, rows first.

    Both passes give whole numbers, cut to 0..65535. Taps beyond the input are left out and the
    others scaled up to a sum of 1. As GraphicsMagick does with 16-bit pixels.
    """
    by_row = _whole(sinc_weights(dn.shape[0], size) @ dn.astype(np.float64))
    by_col = _whole(by_row @ sinc_weights(dn.shape[1], size).T)
    return by_col.astype(np.uint16)


def _whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    rounded: NDArray[np.float64] = np.floor(np.clip(values, 0, 65535) + 0.5)
    return rounded


@lru_cache(maxsize=16)
def sinc_weights(n_in: int, n_out: int) -> NDArray[np.float64]:
    """(n_out, n_in) weights of an axis that is stretched from `n_in` to `n_out` pixels, not fewer.

    Raises:
        ValueError: the axis would shrink.
    """
    if n_out < n_in:
        raise ValueError(f"only stretching is done, got {n_in} to {n_out} pixels")
    centres = (np.arange(n_out) + 0.5) * (n_in / n_out)
    distance = np.arange(n_in) + 0.5 - centres[:, None]
    relative = distance / SINC_SUPPORT
    blackman = 0.42 + 0.5 * np.cos(np.pi * relative) + 0.08 * np.cos(2 * np.pi * relative)
    weights = np.where(np.abs(relative) <= 1, blackman * np.sinc(distance), 0.0)
    normalised: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return normalised
