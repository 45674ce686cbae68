"""From a product's digital numbers to network input on the model's grid, block of rows by block.

Every block is computed from windows aligned to 60 m, where all grids of a product meet, with
context from beyond where a band is made finer; so a cell's value does not depend on the block.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.bands import BANDS
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, BandSource, PixelWindow
from kappamask_udf.resampling import area_sums, area_weight, upsample_linear
from kappamask_udf.scaling import input_scale, scale_in_place, scaled_zero

ALIGN_PX = 6
"""60 m in 10 m pixels: the step at which the 10, 20, 30 and 60 m grids meet."""
BLOCK_ROWS_PX = 240
"""10 m rows per block: a few MB per band, so that passes over it stay in the processor's cache."""

MAX_BLOCK_ROWS = 2048
"""Of a file with higher blocks (or one for the whole image) parts are read, at the price of
decoding some of it again, so that memory does not depend on the file."""


@dataclass(frozen=True)
class GridBlock:
    """Rows of network input on the model's grid."""

    row0: int
    """First model row."""
    values: NDArray[np.float32]
    """(bands, rows, cols) network input; cells without valid pixels hold reflectance 0, scaled."""
    has_valid: NDArray[np.bool_] | None
    """(rows, cols) whether a cell has a valid pixel; `None` where all have."""
    is_missing: NDArray[np.bool_] | None
    """Missing pixels of the same rows on the 10 m grid; `None` where there are none."""


class BandRows:
    """Rows of one band in reading order. The file's blocks are decoded once, whatever their
    height, and rows that are no longer asked for are dropped.
    """

    def __init__(self, source: BandSource, band: str, cols: tuple[int, int], end: int):
        self._source, self._band, self._cols, self._end = source, band, cols, end
        self._block = min(source.block_rows(band), MAX_BLOCK_ROWS)
        self._row0 = 0
        self._rows = np.empty((0, cols[1] - cols[0]), np.uint16)

    def read(self, lo: int, hi: int) -> NDArray[np.uint16]:
        """(hi - lo, cols) rows; `lo` must not go back."""
        row1 = self._row0 + len(self._rows)
        if lo >= row1:
            self._row0, self._rows = lo, self._rows[:0]
        elif lo > self._row0:
            self._row0, self._rows = lo, self._rows[lo - self._row0 :]
        row1 = self._row0 + len(self._rows)
        if row1 < hi:
            ahead = min(-(-hi // self._block) * self._block, self._end)
            window = PixelWindow(row1, ahead, *self._cols)
            self._rows = np.concatenate([self._rows, self._source.read_dn(self._band, window)])
        return self._rows[: hi - lo]


class GridReader:
    """Network input for a range of cells of the model's grid, as blocks from top to bottom."""

    def __init__(self, source: BandSource, spec: ModelSpec, cells: PixelWindow, threads: int):
        self._source, self._spec, self._threads = source, spec, threads
        self._factor = spec.grid_factor
        self._cells = cells
        self._region = PixelWindow(
            cells.row0 * self._factor, cells.row1 * self._factor,
            cells.col0 * self._factor, cells.col1 * self._factor,
        ).aligned(ALIGN_PX)  # fmt: skip
        self._read_region = self._region.padded(ALIGN_PX).clipped(source.shape_yx)
        self._resolutions = {band: source.band_resolution_m(band) for band in spec.bands}
        self._rows = {band: self._open_rows(band) for band in spec.bands}
        self._scales = {
            band: input_scale(spec, index, source.calibration(band))
            for index, band in enumerate(spec.bands)
        }

    def _open_rows(self, band: str) -> BandRows:
        window = self._band_window(band, self._read_region)
        return BandRows(self._source, band, (window.col0, window.col1), window.row1)

    def _band_window(self, band: str, window: PixelWindow) -> PixelWindow:
        """The pixels of a band's own grid that a 10 m window lies on."""
        step = self._resolutions[band] // NATIVE_RESOLUTION_M
        aligned = window.aligned(step)
        return PixelWindow(
            aligned.row0 // step, aligned.row1 // step, aligned.col0 // step, aligned.col1 // step
        )

    def blocks(self) -> Iterator[GridBlock]:
        """The blocks in order; each covers whole model rows inside the cells asked for.

        Raises:
            CorruptDataError: a band cannot be decoded.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            for block in self._block_windows():
                yield self._read_block(pool, block)

    def decode(self) -> Iterator[int]:
        """Read all that `blocks` reads, in the same windows and threads, and drop it; yields the
        bytes of every block. For benchmarks: what the product alone costs.
        """
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            for block in self._block_windows():
                window = block.padded(ALIGN_PX).clipped(self._source.shape_yx)
                numbers, _ = self._decode(pool, window)
                yield sum(dn.nbytes for dn in numbers.values())

    def _block_windows(self) -> Iterator[PixelWindow]:
        for row0 in range(self._region.row0, self._region.row1, BLOCK_ROWS_PX):
            row1 = min(row0 + BLOCK_ROWS_PX, self._region.row1)
            yield PixelWindow(row0, row1, self._region.col0, self._region.col1)

    def _decode(
        self, pool: ThreadPoolExecutor, window: PixelWindow
    ) -> tuple[dict[str, NDArray[np.uint16]], list[NDArray[np.bool_]]]:
        """Digital numbers by band, and the lost pixels of the bands that have masks."""
        bands = self._spec.bands
        read = pool.map(lambda band: self._read_band(band, window), bands)
        # By band, so that masks are decoded side by side too.
        marked = bands if self._spec.missing_rule == "class" else ()
        lost = pool.map(lambda band: self._source.read_lost([band], window), marked)
        numbers = dict(zip(bands, read, strict=True))
        return numbers, [mask for mask in lost if mask is not None]

    def _read_block(self, pool: ThreadPoolExecutor, block: PixelWindow) -> GridBlock:
        window = block.padded(ALIGN_PX).clipped(self._source.shape_yx)
        bands = self._spec.bands
        numbers, lost = self._decode(pool, window)
        is_missing = self._find_missing(numbers, lost, window)
        pixels = _BlockPixels(block, window, is_missing, self._spec.resolution_m)
        shape = (len(bands), *(size // self._factor for size in block.shape_yx))
        values = np.empty(shape, np.float32)
        list(
            pool.map(
                lambda item: self._fill_band(values[item[0]], item[1], numbers[item[1]], pixels),
                enumerate(bands),
            )
        )
        return self._cut_cells(block, values, pixels)

    def _read_band(self, band: str, window: PixelWindow) -> NDArray[np.uint16]:
        rows = self._band_window(band, window)
        return self._rows[band].read(rows.row0, rows.row1)

    def _find_missing(
        self,
        numbers: dict[str, NDArray[np.uint16]],
        lost: list[NDArray[np.bool_]],
        window: PixelWindow,
    ) -> NDArray[np.bool_] | None:
        """(rows, cols) bool of a 10 m window, or `None` if nothing is missing."""
        if self._spec.missing_rule == "as_predicted":
            return None
        masks = [mask for mask in lost if mask.any()]
        for band, dn in numbers.items():
            if not BANDS[band].is_zero_valid and dn.min() == 0:
                masks.append(self._to_native(band, dn == 0, window))
        return np.logical_or.reduce(masks) if masks else None

    def _to_native(self, band: str, pixels: NDArray[Any], window: PixelWindow) -> NDArray[Any]:
        """Pixels of a band's grid, each repeated over the 10 m pixels it covers."""
        step = self._resolutions[band] // NATIVE_RESOLUTION_M
        if step == 1:
            return pixels
        top, left = window.row0 % step, window.col0 % step
        repeated = pixels.repeat(step, axis=0).repeat(step, axis=1)
        rows, cols = window.shape_yx
        return repeated[top : top + rows, left : left + cols]

    def _fill_band(
        self, out: NDArray[np.float32], band: str, dn: NDArray[np.uint16], pixels: "_BlockPixels"
    ) -> None:
        """Write one band's network input for a block into `out` (rows, cols)."""
        source_m, target_m = self._resolutions[band], self._spec.resolution_m
        if source_m > target_m:
            self._refine(out, band, dn, pixels)
        else:
            self._coarsen(out, band, dn, pixels)
        scale_in_place(out, self._scales[band])
        if pixels.weights is not None:
            out[pixels.weights == 0] = scaled_zero(self._scales[band])

    def _refine(
        self, out: NDArray[np.float32], band: str, dn: NDArray[np.uint16], pixels: "_BlockPixels"
    ) -> None:
        """Bilinear from a band's coarser grid."""
        step = self._resolutions[band] // NATIVE_RESOLUTION_M
        rows, cols = pixels.context_indices(step, (dn.shape[0], dn.shape[1]))
        is_valid = pixels.valid_on_grid(step)
        if is_valid is not None:
            if not BANDS[band].is_zero_valid:
                is_valid = is_valid & (dn > 0)
            is_valid = is_valid[rows[:, None], cols]
        factor = self._resolutions[band] // self._spec.resolution_m
        out[...] = upsample_linear(dn[rows[:, None], cols], factor, is_valid)[0]

    def _coarsen(
        self, out: NDArray[np.float32], band: str, dn: NDArray[np.uint16], pixels: "_BlockPixels"
    ) -> None:
        """Area mean of the valid 10 m pixels; the same sums whether or not any is missing."""
        source_m, target_m = self._resolutions[band], self._spec.resolution_m
        if pixels.weights is None or pixels.is_valid_inner is None:
            inner = pixels.inner(dn, source_m // NATIVE_RESOLUTION_M)
            if source_m == target_m:
                out[...] = inner
                return
            sums = area_sums(inner.astype(np.float32), source_m, target_m)
            np.divide(sums, area_weight(source_m, target_m), out)
            return
        native = self._to_native(band, dn, pixels.window)
        valid_dn = pixels.inner_or_zero(native) * pixels.is_valid_inner
        sums = area_sums(valid_dn.astype(np.float32), NATIVE_RESOLUTION_M, target_m)
        np.divide(sums, np.maximum(pixels.weights, 1), out)

    def _cut_cells(
        self, block: PixelWindow, values: NDArray[np.float32], pixels: "_BlockPixels"
    ) -> GridBlock:
        """The block without the cells that alignment added around those asked for."""
        row0, col0 = block.row0 // self._factor, block.col0 // self._factor
        rows = slice(max(self._cells.row0 - row0, 0), self._cells.row1 - row0)
        cols = slice(self._cells.col0 - col0, self._cells.col1 - col0)
        is_missing, weights = None, pixels.weights
        if pixels.is_missing is not None and pixels.is_valid_inner is not None:
            fine_rows, fine_cols = (
                slice(part.start * self._factor, part.stop * self._factor) for part in (rows, cols)
            )
            is_missing = ~pixels.is_valid_inner[fine_rows, fine_cols]
        return GridBlock(
            row0=row0 + rows.start,
            values=values[:, rows, cols],
            has_valid=None if weights is None else weights[rows, cols] > 0,
            is_missing=is_missing,
        )


class _BlockPixels:
    """Which pixels of a block are valid. `window` is what was read: the block with a margin,
    clipped to the product. A block may reach beyond the product by less than 60 m; there
    nothing is valid.
    """

    def __init__(
        self,
        block: PixelWindow,
        window: PixelWindow,
        is_missing: NDArray[np.bool_] | None,
        target_m: int,
    ):
        self.block, self.window, self.is_missing = block, window, is_missing
        self.is_valid_inner: NDArray[np.bool_] | None = None
        """(rows, cols) of the block on the 10 m grid; `None` where all are valid."""
        self.weights: NDArray[np.float32] | None = None
        """(rows, cols) valid 10 m pixels per cell of the model's grid; `None` likewise."""
        reaches_beyond = block.row1 > window.row1 or block.col1 > window.col1
        if is_missing is not None or reaches_beyond:
            lost = np.zeros(window.shape_yx, np.bool_) if is_missing is None else is_missing
            self.is_valid_inner = self.inner_or_zero(~lost)
            self.weights = area_sums(
                self.is_valid_inner.astype(np.float32), NATIVE_RESOLUTION_M, target_m
            )

    def inner(self, pixels: NDArray[Any], step: int = 1) -> NDArray[Any]:
        """The block's part of an array of the window whose pixels are `step` x 10 m."""
        top = (self.block.row0 - self.window.row0) // step
        left = (self.block.col0 - self.window.col0) // step
        rows, cols = (size // step for size in self.block.shape_yx)
        return pixels[top : top + rows, left : left + cols]

    def inner_or_zero(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The block's part of a 10 m array of the window, with zeros beyond the product."""
        part = self.inner(pixels)
        if part.shape == self.block.shape_yx:
            return part
        result = np.zeros(self.block.shape_yx, part.dtype)
        result[: part.shape[0], : part.shape[1]] = part
        return result

    def valid_on_grid(self, step: int) -> NDArray[np.bool_] | None:
        """Pixels of a coarser grid over the window that hold a valid 10 m pixel, or `None`."""
        if self.is_missing is None:
            return None
        rows, cols = (-(-size // step) * step for size in self.window.shape_yx)
        is_valid = np.zeros((rows, cols), np.bool_)
        is_valid[: self.window.shape_yx[0], : self.window.shape_yx[1]] = ~self.is_missing
        by_pixel = is_valid.reshape(rows // step, step, cols // step, step)
        return np.asarray(by_pixel.any(axis=(1, 3)))

    def context_indices(
        self, step: int, shape_yx: tuple[int, int]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows and columns of a band's window that cover the block and one pixel around it, the
        edge repeated beyond the product.
        """
        top = (self.block.row0 - self.window.row0) // step
        left = (self.block.col0 - self.window.col0) // step
        rows, cols = (size // step for size in self.block.shape_yx)
        return (
            np.clip(np.arange(top - 1, top + rows + 1), 0, shape_yx[0] - 1),
            np.clip(np.arange(left - 1, left + cols + 1), 0, shape_yx[1] - 1),
        )
