"""What users ask of a finished mask: clouds grown by some metres, a coarser grid by mode.

Both work on strips from top to bottom and hold only the rows they need.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import isqrt

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow
from kappamask_udf.stitching import MaskStrip

# Shadow, semi-transparent cloud and cloud grow, over one another in this order of precedence:
# it is that of their ids, so the largest id within the disc wins.
_GROWING = (MaskClass.CLOUD_SHADOW, MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD)
_KEPT = (MaskClass.UNDEFINED, MaskClass.MISSING)


def dilation_radius_px(dilation_m: float) -> int:
    """The whole 10 m pixels within `dilation_m` metres along an axis."""
    return int(dilation_m // NATIVE_RESOLUTION_M)


def dilate(classes: NDArray[np.uint8], dilation_m: float) -> NDArray[np.uint8]:
    """Grow shadow and both cloud classes by a disc; missing and undefined pixels stay.

    Args:
        classes: (rows, cols) class ids on the 10 m grid.
        dilation_m: radius, metres between pixel centres.

    Returns:
        (rows, cols) uint8; right for pixels that are at least the radius away from the array's
        edge or where the product ends there.
    """
    growing = np.where(np.isin(classes, _GROWING), classes, np.uint8(0))
    if not growing.any():
        return classes
    grown = _disc_maximum(growing, dilation_m / NATIVE_RESOLUTION_M)
    is_kept = np.isin(classes, _KEPT) | (grown == 0)
    return np.where(is_kept, classes, grown)


def _disc_maximum(values: NDArray[np.uint8], radius_px: float) -> NDArray[np.uint8]:
    """Maximum over a disc: rows of running maxima, as wide as the disc is at that height."""
    result = values.copy()
    squared = int(radius_px**2)
    for dy in range(isqrt(squared) + 1):
        width = 2 * isqrt(squared - dy * dy) + 1
        line = maximum_filter1d(values, width, axis=1, mode="constant") if width > 1 else values
        if dy == 0:
            np.maximum(result, line, out=result)
        elif dy < len(values):
            np.maximum(result[dy:], line[:-dy], out=result[dy:])
            np.maximum(result[:-dy], line[dy:], out=result[:-dy])
    return result


def dilate_strips(
    strips: Iterable[MaskStrip], dilation_m: float, end_row: int
) -> Iterator[MaskStrip]:
    """The strips of a mask with clouds and shadows grown; held back by the radius.

    Args:
        strips: contiguous, from top to bottom.
        dilation_m: radius, metres; 0 changes nothing.
        end_row: the row after the last of all strips.
    """
    radius = dilation_radius_px(dilation_m)
    if radius == 0:
        yield from strips
        return
    waiting: deque[MaskStrip] = deque()
    rows, rows_start = np.empty((0, 0), np.uint8), 0
    for strip in strips:
        if not len(rows):
            rows_start, rows = strip.row0, strip.classes
        else:
            rows = np.concatenate([rows, strip.classes])
        waiting.append(strip)
        seen = rows_start + len(rows)
        while waiting and (_end(waiting[0]) + radius <= seen or seen == end_row):
            ready = waiting.popleft()
            first = max(ready.row0 - radius, rows_start)
            context = rows[first - rows_start : _end(ready) + radius - rows_start]
            grown = dilate(context, dilation_m)[ready.row0 - first :][: len(ready.classes)]
            yield replace(ready, classes=grown)
            keep = max(_end(ready) - radius, rows_start)
            rows, rows_start = rows[keep - rows_start :], keep


def _end(strip: MaskStrip) -> int:
    return strip.row0 + len(strip.classes)


def crop_strips(strips: Iterable[MaskStrip], offset: PixelWindow) -> Iterator[MaskStrip]:
    """The part of strips inside a window.

    Args:
        strips: contiguous, from top to bottom; columns begin at the window's column 0.
        offset: rows as the strips count them; columns of the strips' arrays.
    """
    cols = slice(offset.col0, offset.col1)
    for strip in strips:
        rows = slice(
            max(offset.row0 - strip.row0, 0), min(offset.row1 - strip.row0, len(strip.classes))
        )
        if rows.start >= rows.stop:
            continue
        yield MaskStrip(
            strip.row0 + rows.start,
            strip.classes[rows, cols],
            None if strip.probabilities is None else strip.probabilities[:, rows, cols],
        )


def mode_of_blocks(classes: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The most frequent class of each `factor` x `factor` block.

    Args:
        classes: (rows, cols) class ids; blocks at the right and lower edge may be partial.
        factor: pixels per block along an axis.

    Returns:
        (ceil(rows / factor), ceil(cols / factor)) uint8. A tie goes to the class that hides
        more: cloud, semi-transparent cloud, shadow, clear, missing, undefined.
    """
    rows, cols = (-(-size // factor) * factor for size in classes.shape)
    best_count = np.zeros((rows // factor, cols // factor), np.uint8)
    mode = np.zeros_like(best_count)
    for mask_class in _BY_PRECEDENCE:
        is_class = np.zeros((rows, cols), np.uint8)
        is_class[: classes.shape[0], : classes.shape[1]] = classes == mask_class
        by_rows = _sum_of_slices(is_class, factor)
        count = _sum_of_slices(by_rows.T, factor).T
        np.copyto(mode, np.uint8(mask_class), where=count > best_count)
        np.maximum(best_count, count, out=best_count)
    return mode


_BY_PRECEDENCE = (
    MaskClass.CLOUD, MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD_SHADOW,
    MaskClass.CLEAR, MaskClass.MISSING, MaskClass.UNDEFINED,
)  # fmt: skip


def _sum_of_slices(values: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """Sums of `factor` neighbouring rows; counts stay below 256 for factors up to 15."""
    total = values[0::factor].copy()
    for phase in range(1, factor):
        total += values[phase::factor]
    return total


def mean_of_blocks(planes: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """(bands, rows, cols) float32 averaged over `factor` x `factor` blocks; blocks at the edge may
    be partial.
    """
    n_rows, n_cols = planes.shape[1:]
    row_starts, col_starts = np.arange(0, n_rows, factor), np.arange(0, n_cols, factor)
    sums = np.add.reduceat(np.add.reduceat(planes, row_starts, axis=1), col_starts, axis=2)
    row_sizes = np.diff(np.append(row_starts, n_rows))
    col_sizes = np.diff(np.append(col_starts, n_cols))
    means: NDArray[np.float32] = (sums / np.outer(row_sizes, col_sizes)).astype(np.float32)
    return means


def coarsen_strips(strips: Iterable[MaskStrip], factor: int, end_row: int) -> Iterator[MaskStrip]:
    """Strips on a grid `factor` times coarser: classes by mode, probabilities by mean.

    Args:
        strips: contiguous, from top to bottom, beginning at a multiple of `factor`.
        factor: 1, 2 or 6 for 10, 20 or 60 m; 1 changes nothing.
        end_row: the 10 m row after the last of all strips.

    Returns:
        Strips whose rows count coarse pixels.
    """
    if factor == 1:
        yield from strips
        return
    rest: MaskStrip | None = None
    for strip in strips:
        joined = strip if rest is None else _join(rest, strip)
        whole = _end(joined) - joined.row0
        if _end(joined) != end_row:
            whole -= whole % factor
        rest = _rows(joined, whole, None)
        if whole:
            ready = _rows(joined, 0, whole)
            planes = ready.probabilities
            yield MaskStrip(
                ready.row0 // factor,
                mode_of_blocks(ready.classes, factor),
                None if planes is None else mean_of_blocks(planes, factor),
            )


def _join(upper: MaskStrip, lower: MaskStrip) -> MaskStrip:
    planes = None
    if upper.probabilities is not None and lower.probabilities is not None:
        planes = np.concatenate([upper.probabilities, lower.probabilities], axis=1)
    return MaskStrip(upper.row0, np.concatenate([upper.classes, lower.classes]), planes)


def _rows(strip: MaskStrip, first: int, end: int | None) -> MaskStrip:
    planes = strip.probabilities
    return MaskStrip(
        strip.row0 + first,
        strip.classes[first:end],
        None if planes is None else planes[:, first:end],
    )
