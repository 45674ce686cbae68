"""The engine: pixels in, mask out, tile by tile.

    source -> GridReader (decode, resample, scale) -> tiles -> batches -> network
           -> Stitcher (blend or crop) -> Classifier (10 m, argmax) -> MaskStrip

Reading and inference run in threads of their own, the strips come out in the caller's. A tile's
input depends only on the product, batches have one size throughout, and sums have one order:
the mask of an area is the crop of the product's mask, bit for bit.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import LevelMismatchError
from kappamask_udf.grid import GridBlock, GridReader
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pipeline import run_ahead
from kappamask_udf.pixels import BandSource, PixelWindow
from kappamask_udf.session import ModelSession, default_threads
from kappamask_udf.stitching import Classifier, MaskStrip, Stitcher
from kappamask_udf.tiling import TileAxis

QUEUE_DEPTH = 3
"""Batches that may wait between two stages."""

Progress = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""


@dataclass(frozen=True)
class Plan:
    """Which cells and tiles a window of a product needs."""

    window: PixelWindow
    """What was asked for, 10 m pixels."""
    cells: PixelWindow
    """Cells of the model's grid whose probabilities are needed: the window and its context."""
    rows: TileAxis
    cols: TileAxis
    tile_rows: range
    tile_cols: range

    @property
    def n_tiles(self) -> int:
        """Tiles that the window needs, those without data included."""
        return len(self.tile_rows) * len(self.tile_cols)

    @property
    def input_cells(self) -> PixelWindow:
        """Cells that the tiles are read from."""
        row_cells = [self.rows.cells(index) for index in self.tile_rows]
        col_cells = [self.cols.cells(index) for index in self.tile_cols]
        return PixelWindow(
            min(int(cells.min()) for cells in row_cells),
            max(int(cells.max()) for cells in row_cells) + 1,
            min(int(cells.min()) for cells in col_cells),
            max(int(cells.max()) for cells in col_cells) + 1,
        )


def plan_window(spec: ModelSpec, shape_yx: tuple[int, int], window: PixelWindow | None) -> Plan:
    """The cells and tiles for a window of a product of `shape_yx` 10 m pixels (all of it by
    default).

    Raises:
        ValueError: the window leaves the product.
    """
    whole = PixelWindow(0, shape_yx[0], 0, shape_yx[1])
    window = window or whole
    if window.clipped(shape_yx) != window:
        raise ValueError(f"window {window} leaves the product of {shape_yx} pixels")
    factor = spec.grid_factor
    grid_shape = (-(-shape_yx[0] // factor), -(-shape_yx[1] // factor))
    cells = PixelWindow(
        window.row0 // factor, -(-window.row1 // factor),
        window.col0 // factor, -(-window.col1 // factor),
    )  # fmt: skip
    if factor > 1:
        cells = cells.padded(1).clipped(grid_shape)
    rows, cols = TileAxis(grid_shape[0], spec.tiling), TileAxis(grid_shape[1], spec.tiling)
    return Plan(
        window, cells, rows, cols,
        rows.tiles_touching(cells.row0, cells.row1), cols.tiles_touching(cells.col0, cells.col1),
    )  # fmt: skip


@dataclass(frozen=True)
class _MissingRows:
    """Missing 10 m pixels of the rows `[row0, row0 + n_rows)`; `None` where there are none."""

    row0: int
    n_rows: int
    col0: int
    is_missing: NDArray[np.bool_] | None


@dataclass(frozen=True)
class _Tile:
    row: int
    col: int
    values: NDArray[np.float32] | None
    """(bands, tile, tile), or `None` if the tile holds nothing but missing pixels."""


@dataclass
class _Batch:
    tiles: list[_Tile] = field(default_factory=list)
    missing: list[_MissingRows] = field(default_factory=list)
    results: NDArray[np.float32] | None = None
    """(tiles with values, channels, tile, tile)."""

    @property
    def n_filled(self) -> int:
        return sum(tile.values is not None for tile in self.tiles)


def predict(
    source: BandSource,
    session: ModelSession,
    window: PixelWindow | None = None,
    *,
    batch_size: int | None = None,
    threads: int | None = None,
    with_probabilities: bool = False,
    progress: Progress | None = None,
) -> Iterator[MaskStrip]:
    """The mask of a product or of a window of it, as strips from top to bottom.

    Args:
        source: the product.
        session: the model on its device.
        window: 10 m pixels, inside the product; all of it by default.
        batch_size: tiles per run; by device if not given.
        threads: that decode bands; all processors by default.
        with_probabilities: whether strips carry them.
        progress: called after every batch.

    Raises:
        LevelMismatchError: the product has another level than the model.
        MissingBandError: the product lacks a band that the model needs.
        CorruptDataError: a band cannot be decoded.
        ModelError: the network failed.
    """
    spec = session.spec
    check_level(spec, source)
    plan = plan_window(spec, source.shape_yx, window)
    reader = GridReader(source, spec, plan.input_cells, threads or default_threads())
    return predict_blocks(
        reader.blocks(), plan, session,
        batch_size=batch_size, with_probabilities=with_probabilities, progress=progress,
    )  # fmt: skip


def check_level(spec: ModelSpec, source: BandSource) -> None:
    """Raise `LevelMismatchError` unless the model is made for the product's level."""
    if source.level != spec.level:
        raise LevelMismatchError(
            f"model {spec.name!r} is made for {spec.level} products, this one is "
            f"{source.level}; choose a model for {source.level} with --model"
        )


def predict_blocks(
    blocks: Iterator[GridBlock],
    plan: Plan,
    session: ModelSession,
    *,
    batch_size: int | None = None,
    with_probabilities: bool = False,
    progress: Progress | None = None,
) -> Iterator[MaskStrip]:
    """`predict` for input that is on the model's grid and scaled already."""
    size = batch_size or session.default_batch_size()
    batches = run_ahead(_cut_batches(blocks, plan, session.spec, size), QUEUE_DEPTH)
    # Tiles that are cut and not blended need no probabilities where only the class is asked for.
    as_scores = session.spec.tiling.stitch == "crop" and not with_probabilities
    answered = run_ahead(_infer(batches, session, size, as_scores), QUEUE_DEPTH)
    try:
        yield from _assemble(answered, plan, session.spec, with_probabilities, progress)
    finally:
        answered.close()


def _cut_batches(
    blocks: Iterable[GridBlock], plan: Plan, spec: ModelSpec, size: int
) -> Iterator[_Batch]:
    """Batches of `size` tiles with values, in order, with the missing pixels read meanwhile."""
    batch = _Batch()
    for item in _cut_tiles(blocks, plan, spec):
        if isinstance(item, _MissingRows):
            batch.missing.append(item)
            continue
        batch.tiles.append(item)
        if batch.n_filled == size:
            yield batch
            batch = _Batch()
    if batch.tiles or batch.missing:
        yield batch


def _cut_tiles(
    blocks: Iterable[GridBlock], plan: Plan, spec: ModelSpec
) -> Iterator[_Tile | _MissingRows]:
    """Tiles row by row, each row as soon as the blocks for it have been read."""
    held = _HeldRows(plan.input_cells)
    feed = iter(blocks)
    for tile_row in plan.tile_rows:
        cells = plan.rows.cells(tile_row)
        while held.row1 <= int(cells.max()):
            block = next(feed)
            held.append(block)
            yield _MissingRows(
                block.row0 * spec.grid_factor,
                block.values.shape[1] * spec.grid_factor,
                plan.input_cells.col0 * spec.grid_factor,
                block.is_missing,
            )
        for tile_col in plan.tile_cols:
            yield _Tile(tile_row, tile_col, held.cut(plan, tile_row, tile_col))
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


def _infer(
    batches: Iterator[_Batch], session: ModelSession, size: int, as_scores: bool
) -> Iterator[_Batch]:
    """The batches in order with their results, as many at a time as the session has lanes."""
    answer = session.score if as_scores else session.predict
    under_way: deque[tuple[_Batch, Future[NDArray[np.float32]] | None]] = deque()
    with ThreadPoolExecutor(session.lanes, thread_name_prefix="infer") as pool:
        for batch in batches:
            values = [tile.values for tile in batch.tiles if tile.values is not None]
            batch.tiles = [
                _Tile(tile.row, tile.col, None if tile.values is None else _ANSWERED)
                for tile in batch.tiles
            ]
            under_way.append((batch, pool.submit(answer, values, size) if values else None))
            if len(under_way) > session.lanes:
                yield _finished(*under_way.popleft())
        while under_way:
            yield _finished(*under_way.popleft())


def _finished(batch: _Batch, answer: "Future[NDArray[np.float32]] | None") -> _Batch:
    batch.results = None if answer is None else answer.result()
    return batch


_ANSWERED = np.empty((0, 0, 0), np.float32)
"""Stands for the values of a tile that has been answered, so that they are not held longer."""


def _assemble(
    batches: Iterator[_Batch],
    plan: Plan,
    spec: ModelSpec,
    with_probabilities: bool,
    progress: Progress | None,
) -> Iterator[MaskStrip]:
    stitcher = Stitcher(spec, plan.rows, plan.cols, plan.cells)
    grid_shape = (plan.rows.size_px, plan.cols.size_px)
    classifier = Classifier(spec, plan.cells, grid_shape, plan.window, with_probabilities)
    missing = _MissingPixels(plan.window)
    n_done = 0
    for batch in batches:
        missing.extend(batch.missing)
        results = iter(batch.results if batch.results is not None else ())
        for tile in batch.tiles:
            if tile.values is not None:
                stitcher.add(tile.row, tile.col, next(results))
            n_done += 1
            if tile.col == plan.tile_cols[-1]:
                is_last = tile.row == plan.tile_rows[-1]
                until = plan.cells.row1 if is_last else plan.rows.support(tile.row + 1)[0]
                for strip in classifier.push(stitcher.take_until(until), is_last):
                    missing.mark(strip)
                    yield strip
        if progress is not None:
            progress(n_done, plan.n_tiles)


class _MissingPixels:
    """Missing pixels of rows that have been read and not yet been given out."""

    def __init__(self, window: PixelWindow):
        self._window = window
        self._rows: deque[_MissingRows] = deque()

    def extend(self, rows: Iterable[_MissingRows]) -> None:
        self._rows.extend(rows)

    def mark(self, strip: MaskStrip) -> None:
        """Set the strip's missing pixels, in place: strips come from top to bottom."""
        end = strip.row0 + strip.classes.shape[0]
        for rows in self._rows:
            if rows.is_missing is None:
                continue
            row0, row1 = max(rows.row0, strip.row0), min(rows.row0 + rows.n_rows, end)
            if row0 >= row1:
                continue
            left = self._window.col0 - rows.col0
            is_missing = rows.is_missing[
                row0 - rows.row0 : row1 - rows.row0, left : left + strip.classes.shape[1]
            ]
            part = slice(row0 - strip.row0, row1 - strip.row0)
            strip.classes[part][is_missing] = MaskClass.MISSING
            if strip.probabilities is not None:
                strip.probabilities[:, part][:, is_missing] = 0
                strip.probabilities[MaskClass.MISSING, part][is_missing] = 1
        while self._rows and self._rows[0].row0 + self._rows[0].n_rows <= end:
            self._rows.popleft()
