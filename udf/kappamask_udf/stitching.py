"""Tiles put together on the model's grid, and the model's grid brought to 10 m.

Rows are handed on as soon as no later tile can change them, so what is held is about one row
of tiles. Tiles are added in one fixed order, so sums of floats do not depend on the request.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.classes import MaskClass
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.tiling import TileAxis

STRIP_ROWS_PX = 192
"""About how many 10 m rows are classified at once; bounds the float planes of `probabilities`."""


@dataclass(frozen=True)
class MaskStrip:
    """Rows of a finished mask on the product's 10 m grid."""

    row0: int
    """First row, counted from the product's upper edge."""
    classes: NDArray[np.uint8]
    """(rows, cols) class ids."""
    probabilities: NDArray[np.float32] | None
    """(6, rows, cols) probability 0-1 per class id, if asked for; classes that the model does
    not predict are 0, missing pixels have 1 in band 5 and 0 elsewhere."""


class Stitcher:
    """Weighted sums of tile probabilities for a range of cells."""

    def __init__(self, spec: ModelSpec, rows: TileAxis, cols: TileAxis, cells: PixelWindow):
        self._rows, self._cols, self._cells = rows, cols, cells
        self._channels = len(spec.classes)
        # Tiles that are cropped share no cell, and all their weights are 1.
        self._is_cropped = spec.tiling.stitch == "crop"
        self._done = cells.row0
        self._sums = np.zeros((self._channels, 0, cells.shape_yx[1]), np.float32)

    def add(self, tile_row: int, tile_col: int, probabilities: NDArray[np.float32]) -> None:
        """Add one tile, (channels, tile, tile) float32; tiles come row by row, left to right."""
        top, left = self._rows.start(tile_row), self._cols.start(tile_col)
        row_lo, row_hi = self._rows.support(tile_row)
        col_lo, col_hi = self._cols.support(tile_col)
        row_lo, row_hi = max(row_lo, self._done), min(row_hi, self._cells.row1)
        col_lo, col_hi = max(col_lo, self._cells.col0), min(col_hi, self._cells.col1)
        if row_lo >= row_hi or col_lo >= col_hi:
            return
        self._grow(row_hi)
        rows, cols = slice(row_lo - top, row_hi - top), slice(col_lo - left, col_hi - left)
        sums = self._sums[
            :,
            row_lo - self._done : row_hi - self._done,
            col_lo - self._cells.col0 : col_hi - self._cells.col0,
        ]
        if self._is_cropped:
            sums[...] = probabilities[:, rows, cols]
            return
        weighted = probabilities[:, rows, cols] * self._cols.weights(tile_col)[cols]
        weighted *= self._rows.weights(tile_row)[rows, None]
        sums += weighted

    def _grow(self, row_hi: int) -> None:
        lacking = row_hi - self._done - self._sums.shape[1]
        if lacking > 0:
            empty = np.zeros((self._channels, lacking, self._sums.shape[2]), np.float32)
            self._sums = np.concatenate([self._sums, empty], axis=1)

    def take_until(self, row: int) -> NDArray[np.float32]:
        """(channels, rows, cols) of the cells from the last taken row up to `row`."""
        row = min(row, self._cells.row1)
        self._grow(row)
        n_rows = max(row - self._done, 0)
        taken, self._sums = self._sums[:, :n_rows], self._sums[:, n_rows:]
        self._done += n_rows
        return taken


class Classifier:
    """Probabilities on the model's grid to classes on the 10 m grid: half-pixel bilinear, then
    argmax. Needs one cell of context on each side, except where the product ends.
    """

    def __init__(
        self,
        spec: ModelSpec,
        cells: PixelWindow,
        grid_shape_yx: tuple[int, int],
        window: PixelWindow,
        with_probabilities: bool,
    ):
        self._classes = spec.classes
        self._factor = spec.grid_factor
        self._window = window
        self._with_probabilities = with_probabilities
        self._at_top, self._at_bottom = cells.row0 == 0, cells.row1 == grid_shape_yx[0]
        self._pad_cols = (int(cells.col0 == 0), int(cells.col1 == grid_shape_yx[1]))
        # The outermost cells are context, unless the product ends there or none is needed.
        context = int(self._factor > 1)
        self._first_col = cells.col0 + context * (1 - self._pad_cols[0])
        self._next_row = cells.row0 + context * (1 - int(self._at_top))
        self._context: NDArray[np.float32] | None = None

    def push(self, probabilities: NDArray[np.float32], is_last: bool) -> Iterator[MaskStrip]:
        """Strips for the next rows, (channels, rows, cols) float32 on the model's grid.

        A row is given out when the one below it is there.
        """
        if self._factor == 1:
            yield from self._strips(probabilities, probabilities.shape[1])
            return
        rows = np.pad(probabilities, ((0, 0), (0, 0), self._pad_cols), mode="edge")
        if self._context is not None:
            rows = np.concatenate([self._context, rows], axis=1)
        elif self._at_top and rows.shape[1]:
            rows = np.concatenate([rows[:, :1], rows], axis=1)
        if is_last and self._at_bottom:
            rows = np.concatenate([rows, rows[:, -1:]], axis=1)
        ready = rows.shape[1] - 2
        if ready > 0:
            yield from self._strips(rows, ready)
        self._context = rows[:, max(ready, 0) :] if rows.shape[1] else None

    def _strips(self, rows: NDArray[np.float32], ready: int) -> Iterator[MaskStrip]:
        step = max(STRIP_ROWS_PX // self._factor, 1)
        margin = 0 if self._factor == 1 else 2
        for first in range(0, ready, step):
            part = rows[:, first : min(first + step, ready) + margin]
            strip = self._classify(part)
            if strip is not None:
                yield strip

    def _classify(self, rows: NDArray[np.float32]) -> MaskStrip | None:
        f = self._factor
        row0, col0 = self._next_row * f, self._first_col * f
        n_rows = rows.shape[1] - (0 if f == 1 else 2)
        n_cols = rows.shape[2] - (0 if f == 1 else 2)
        self._next_row += n_rows
        classes = np.empty((n_rows * f, n_cols * f), np.uint8)
        planes = None
        if self._with_probabilities:
            planes = np.zeros((len(MaskClass), n_rows * f, n_cols * f), np.float32)
        for phase_y in range(f):
            between_rows = _interpolate(rows, phase_y, f, axis=1)
            for phase_x in range(f):
                fine = _interpolate(between_rows, phase_x, f, axis=2)
                classes[phase_y::f, phase_x::f] = self._argmax(fine)
                if planes is not None:
                    for channel, mask_class in zip(fine, self._classes, strict=True):
                        planes[mask_class, phase_y::f, phase_x::f] = channel
        return self._cut(row0, col0, classes, planes)

    def _argmax(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        best = probabilities[0].copy()
        classes = np.full(best.shape, self._classes[0], np.uint8)
        for channel, mask_class in zip(probabilities[1:], self._classes[1:], strict=True):
            np.copyto(classes, np.uint8(mask_class), where=channel > best)
            np.maximum(best, channel, out=best)
        return classes

    def _cut(
        self, row0: int, col0: int, classes: NDArray[np.uint8], planes: NDArray[np.float32] | None
    ) -> MaskStrip | None:
        """The part of a strip inside the window, if any."""
        window = self._window
        rows = slice(max(window.row0 - row0, 0), window.row1 - row0)
        cols = slice(window.col0 - col0, window.col1 - col0)
        if rows.stop <= rows.start or rows.start >= classes.shape[0]:
            return None
        return MaskStrip(
            row0=row0 + rows.start,
            classes=np.ascontiguousarray(classes[rows, cols]),
            probabilities=None if planes is None else planes[:, rows, cols],
        )


def _interpolate(values: NDArray[np.float32], phase: int, f: int, axis: int) -> NDArray[np.float32]:
    """Every `f`-th fine position along an axis with one cell of context at both ends."""
    if f == 1:
        return values
    inner = values.shape[axis] - 2
    shift = 2 * phase + 1 - f
    here = _part(values, 1, inner, axis)
    if shift == 0:
        return here
    there = _part(values, 0 if shift < 0 else 2, inner, axis)
    weight = np.float32(abs(shift) / (2 * f))
    return here * (np.float32(1) - weight) + there * weight


def _part(values: NDArray[np.float32], first: int, n: int, axis: int) -> NDArray[np.float32]:
    return values[:, first : first + n] if axis == 1 else values[:, :, first : first + n]
