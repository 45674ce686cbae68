"""The engine: pixels in, mask out, tile by tile.

    source -> GridReader or TilewiseReader (decode, resample, scale) -> tiles -> batches
           -> network -> Stitcher (blend or crop) -> Classifier (10 m, argmax) -> MaskStrip

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
from kappamask_udf.cutting import MissingRows, Tile, cut_tiles
from kappamask_udf.errors import LevelMismatchError
from kappamask_udf.grid import GridReader
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pipeline import run_ahead
from kappamask_udf.pixels import BandSource, PixelWindow
from kappamask_udf.plan import Plan, plan_window
from kappamask_udf.session import ModelSession, default_threads
from kappamask_udf.stitching import Classifier, MaskStrip, Stitcher
from kappamask_udf.tilewise import TilewiseReader

QUEUE_DEPTH = 3
"""Batches that may wait between two stages."""

Progress = Callable[[int, int], None]
"""Called with tiles done and tiles in all."""
Answer = Callable[..., NDArray[np.float32]]
"""`ModelSession.predict` or `score`."""


@dataclass
class _Batch:
    tiles: list[Tile] = field(default_factory=list)
    missing: list[MissingRows] = field(default_factory=list)
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
    return predict_tiles(
        read_tiles(source, spec, plan, threads or default_threads()), plan, session,
        batch_size=batch_size, with_probabilities=with_probabilities, progress=progress,
    )  # fmt: skip


def read_tiles(
    source: BandSource, spec: ModelSpec, plan: Plan, threads: int
) -> Iterator[Tile | MissingRows]:
    """The tiles of a plan as network input, with the missing pixels of the rows in between.

    Raises:
        CorruptDataError: a band cannot be decoded.
    """
    if spec.resampling == "sinc_per_tile":
        return TilewiseReader(source, spec, plan, threads).tiles()
    reader = GridReader(source, spec, plan.input_cells, threads)
    return cut_tiles(reader.blocks(), plan, spec)


def check_level(spec: ModelSpec, source: BandSource) -> None:
    """Raise `LevelMismatchError` unless the model is made for the product's level."""
    if source.level != spec.level:
        raise LevelMismatchError(
            f"model {spec.name!r} is made for {spec.level} products, this one is "
            f"{source.level}; choose a model for {source.level} with --model"
        )


def predict_tiles(
    tiles: Iterator[Tile | MissingRows],
    plan: Plan,
    session: ModelSession,
    *,
    batch_size: int | None = None,
    with_probabilities: bool = False,
    progress: Progress | None = None,
) -> Iterator[MaskStrip]:
    """`predict` for tiles that are network input already, with the missing pixels in between."""
    size = batch_size or session.default_batch_size()
    batches = run_ahead(_gather(tiles, size), QUEUE_DEPTH)
    answer = choose_answer(session, with_probabilities)
    answered = run_ahead(_infer(batches, session, size, answer), QUEUE_DEPTH)
    try:
        yield from _assemble(answered, plan, session.spec, with_probabilities, progress)
    finally:
        answered.close()


def choose_answer(session: ModelSession, with_probabilities: bool) -> Answer:
    """What the network is asked for: tiles that are cut and not blended need no probabilities where
    only the class is wanted.
    """
    needs_scores_only = session.spec.tiling.stitch == "crop" and not with_probabilities
    return session.score if needs_scores_only else session.predict


def _gather(tiles: Iterable[Tile | MissingRows], size: int) -> Iterator[_Batch]:
    """Batches of `size` tiles with values, in order, with the missing pixels read meanwhile."""
    batch = _Batch()
    for item in tiles:
        if isinstance(item, MissingRows):
            batch.missing.append(item)
            continue
        batch.tiles.append(item)
        if batch.n_filled == size:
            yield batch
            batch = _Batch()
    if batch.tiles or batch.missing:
        yield batch


def _infer(
    batches: Iterator[_Batch], session: ModelSession, size: int, answer: Answer
) -> Iterator[_Batch]:
    """The batches in order with their results, as many at a time as the session has lanes."""
    under_way: deque[tuple[_Batch, Future[NDArray[np.float32]] | None]] = deque()
    with ThreadPoolExecutor(session.lanes, thread_name_prefix="infer") as pool:
        for batch in batches:
            values = [tile.values for tile in batch.tiles if tile.values is not None]
            batch.tiles = [
                Tile(tile.row, tile.col, None if tile.values is None else _ANSWERED)
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
        self._rows: deque[MissingRows] = deque()

    def extend(self, rows: Iterable[MissingRows]) -> None:
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
