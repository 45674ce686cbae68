"""Network input as km_predict makes it: every tile cut from each band on its own, bands of 20 and
60 m stretched to the tile without a look beyond the cut, zeros beyond the product.

Source: cm_vsm, `vsm/lib/raster/esa_s2.cpp`, and km_predict's data generator.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from math import floor

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.cutting import Tile
from kappamask_udf.grid import BandRows
from kappamask_udf.models.spec import ModelSpec, Tiling
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, BandSource
from kappamask_udf.plan import Plan
from kappamask_udf.resampling import resize_sinc
from kappamask_udf.scaling import input_scale, lookup_table


def band_cut(tiling: Tiling, index: int, step: int) -> tuple[int, int]:
    """First pixel and number of pixels that a tile takes from a band whose pixels are `step` times
    larger than the tile's.

    Both are whole: at 60 m a tile of 512 takes 85 pixels where 85.33 would be right, and is up to
    two of its own pixels off at its far end.
    """
    start = floor((tiling.origin_px + index * tiling.stride_px) / step)
    overlap_px = tiling.tile_px - tiling.stride_px
    return start, -(-tiling.stride_px // step) + overlap_px // step


class TilewiseReader:
    """The tiles of a plan as network input, row by row."""

    def __init__(self, source: BandSource, spec: ModelSpec, plan: Plan, threads: int):
        self._spec, self._plan, self._threads = spec, plan, threads
        self._bands = [
            _BandTiles(source, spec, band, index, plan) for index, band in enumerate(spec.bands)
        ]

    def tiles(self) -> Iterator[Tile]:
        """The tiles in order, those without data included.

        Raises:
            CorruptDataError: a band cannot be decoded.
        """
        tile_px = self._spec.tiling.tile_px
        with ThreadPoolExecutor(self._threads, thread_name_prefix="decode") as pool:
            for row in self._plan.tile_rows:
                list(pool.map(lambda band, row=row: band.read_row(row), self._bands))
                for col in self._plan.tile_cols:
                    values = np.empty((len(self._bands), tile_px, tile_px), np.float32)
                    cut = pool.map(
                        lambda band, out, col=col: band.cut(col, out), self._bands, values
                    )
                    list(cut)
                    yield Tile(row, col, values)


class _BandTiles:
    """One band, a row of tiles at a time."""

    def __init__(self, source: BandSource, spec: ModelSpec, band: str, index: int, plan: Plan):
        self._tiling = spec.tiling
        self._step = source.band_resolution_m(band) // NATIVE_RESOLUTION_M
        self._table = lookup_table(input_scale(spec, index, source.calibration(band)))
        self._shape = tuple(-(-size // self._step) for size in source.shape_yx)
        cuts = [band_cut(self._tiling, col, self._step) for col in plan.tile_cols]
        self._col0 = max(min(start for start, _ in cuts), 0)
        self._col1 = min(max(start + size for start, size in cuts), self._shape[1])
        self._reader = BandRows(source, band, (self._col0, self._col1), self._shape[0])
        self._row0 = 0
        self._rows = np.empty((0, self._col1 - self._col0), np.uint16)

    def read_row(self, index: int) -> None:
        """Decode what the tiles of row `index` need."""
        start, size = band_cut(self._tiling, index, self._step)
        low, high = max(start, 0), min(start + size, self._shape[0])
        self._row0 = low - start
        self._rows = self._reader.read(low, high)

    def cut(self, index: int, out: NDArray[np.float32]) -> None:
        """Write the network input of the tile in column `index` into `out` (tile, tile)."""
        start, size = band_cut(self._tiling, index, self._step)
        low, high = max(start, self._col0), min(start + size, self._col1)
        dn = np.zeros((size, size), np.uint16)
        rows = slice(self._row0, self._row0 + len(self._rows))
        dn[rows, low - start : high - start] = self._rows[:, low - self._col0 : high - self._col0]
        fine = dn if size == len(out) else resize_sinc(dn, len(out))
        np.take(self._table, fine, out=out, mode="clip")
