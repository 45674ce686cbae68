"""Network input on the model's grid cut into tiles, in the order in which they are run."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.grid import GridBlock
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.plan import Plan


@dataclass(frozen=True)
class MissingRows:
    """Missing 10 m pixels of the rows `[row0, row0 + n_rows)`; `None` where there are none."""

    row0: int
    n_rows: int
    col0: int
    is_missing: NDArray[np.bool_] | None


@dataclass(frozen=True)
class Tile:
    """Network input of one tile."""

    row: int
    col: int
    values: NDArray[np.float32] | None
    """(bands, tile, tile), or `None` if the tile holds nothing but missing pixels."""


def cut_tiles(
    blocks: Iterable[GridBlock], plan: Plan, spec: ModelSpec
) -> Iterator[Tile | MissingRows]:
    """Tiles row by row, each row as soon as the blocks for it have been read."""
    held = _HeldRows(plan.input_cells)
    feed = iter(blocks)
    for tile_row in plan.tile_rows:
        cells = plan.rows.cells(tile_row)
        while held.row1 <= int(cells.max()):
            block = next(feed)
            held.append(block)
            yield MissingRows(
                block.row0 * spec.grid_factor,
                block.values.shape[1] * spec.grid_factor,
                plan.input_cells.col0 * spec.grid_factor,
                block.is_missing,
            )
        for tile_col in plan.tile_cols:
            yield Tile(tile_row, tile_col, held.cut(plan, tile_row, tile_col))
        later = range(tile_row + 1, plan.tile_rows.stop)
        if later:
            held.drop_before(min(int(plan.rows.cells(index).min()) for index in later[:2]))


class _HeldRows:
    """The rows of network input that tiles still need."""

    def __init__(self, cells: PixelWindow):
        self._cells = cells
        self._row0 = cells.row0
        self._blocks: deque[GridBlock] = deque()

    @property
    def row1(self) -> int:
        last = self._blocks[-1] if self._blocks else None
        return self._row0 if last is None else last.row0 + last.values.shape[1]

    def append(self, block: GridBlock) -> None:
        self._blocks.append(block)

    def drop_before(self, row: int) -> None:
        while len(self._blocks) > 1 and self._blocks[1].row0 <= row:
            self._blocks.popleft()
            self._row0 = self._blocks[0].row0

    def cut(self, plan: Plan, tile_row: int, tile_col: int) -> NDArray[np.float32] | None:
        """(bands, tile, tile) input of a tile, or `None` if none of its cells is valid.

        Cells one beyond the support count too: their neighbours are interpolated with it.
        """
        if not self._has_valid(plan.rows.support(tile_row), plan.cols.support(tile_col)):
            return None
        rows = plan.rows.cells(tile_row)
        cols = plan.cols.cells(tile_col) - self._cells.col0
        first, last = int(rows.min()), int(rows.max()) + 1
        strip = np.concatenate(
            [
                block.values[:, max(first - block.row0, 0) : last - block.row0, :]
                [:, :, int(cols.min()) : int(cols.max()) + 1]
                for block in self._overlapping(first, last)
            ],
            axis=1,
        )  # fmt: skip
        tile_rows, tile_cols = rows - first, cols - cols.min()
        if np.array_equal(tile_rows, np.arange(strip.shape[1])) and np.array_equal(
            tile_cols, np.arange(strip.shape[2])
        ):
            return strip
        return strip[:, tile_rows[:, None], tile_cols]

    def _overlapping(self, first: int, last: int) -> list[GridBlock]:
        return [
            block
            for block in self._blocks
            if block.row0 < last and block.row0 + block.values.shape[1] > first
        ]

    def _has_valid(self, rows: tuple[int, int], cols: tuple[int, int]) -> bool:
        first, last = rows[0] - 1, rows[1] + 1
        col0 = max(cols[0] - 1 - self._cells.col0, 0)
        col1 = cols[1] + 1 - self._cells.col0
        for block in self._overlapping(first, last):
            if block.has_valid is None:
                return True
            top = max(first - block.row0, 0)
            if block.has_valid[top : max(last - block.row0, 0), col0:col1].any():
                return True
        return False
