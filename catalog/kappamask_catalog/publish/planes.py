"""Uncompressed pixels on disk while a raster is being written, and their overviews.

The planes are plain files written by Python, not by GDAL: a full disk is then an `OSError` at
the write that met it, while GDAL 3.10 under rasterio 1.4 drops write errors at close and while it
makes overviews (measured on a full tmpfs: both returned as if all were well).
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Reduction = Literal["mode", "average"]

STRIP_ROWS = 512
"""Rows of a plane that are held at a time while it is reduced; even, so that pairs of rows stay
together."""


class PlaneFile:
    """Bands one after the other, rows from top to bottom, native byte order, in one file.

    Rows of nothing but zeros are left out as holes, which file systems keep for nothing: three of
    six probability bands are empty with the default model. A row must be written only once.
    """

    def __init__(
        self, path: Path, shape_yx: tuple[int, int], dtype: np.dtype[Any], count: int
    ) -> None:
        self.path = path
        self.shape_yx = shape_yx
        self.dtype = dtype
        self.count = count
        self._lock = threading.Lock()
        self._file = path.open("x+b", buffering=0)
        self._file.truncate(self.size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def size_bytes(self) -> int:
        """Of all bands, holes included."""
        return self.count * self.shape_yx[0] * self.line_bytes

    @property
    def line_bytes(self) -> int:
        """Of one row of one band."""
        return self.shape_yx[1] * self.dtype.itemsize

    def band_offset(self, band: int) -> int:
        """Where band `band`, counted from 0, begins in the file, bytes."""
        return band * self.shape_yx[0] * self.line_bytes

    def write_rows(self, band: int, row0: int, rows: NDArray[Any]) -> None:
        """Put (rows, cols) of the file's dtype at `row0` of a band. Raises `OSError`."""
        if not rows.any():
            return
        data = np.ascontiguousarray(rows).data.cast("B")
        with self._lock:
            self._file.seek(self.band_offset(band) + row0 * self.line_bytes)
            while data:
                data = data[self._file.write(data) :]

    def read_rows(self, band: int, row0: int, row1: int) -> NDArray[Any]:
        """(rows, cols) of a band. Raises `OSError`."""
        rows = np.empty((row1 - row0, self.shape_yx[1]), self.dtype)
        data = rows.data.cast("B")
        with self._lock:
            self._file.seek(self.band_offset(band) + row0 * self.line_bytes)
            while data:
                read = self._file.readinto(data)
                if not read:
                    raise OSError(f"{self.path.name} ended early")
                data = data[read:]
        return rows

    def close(self) -> None:
        """Nothing can be read or written any more; the file stays."""
        self._file.close()


def overview_shapes(shape_yx: tuple[int, int], block_px: int) -> list[tuple[int, int]]:
    """Rows and columns of each overview: halved, rounded up, until one block holds the raster."""
    shapes: list[tuple[int, int]] = []
    rows, cols = shape_yx
    while max(rows, cols) > block_px:
        rows, cols = -(-rows // 2), -(-cols // 2)
        shapes.append((rows, cols))
    return shapes


def reduce_plane(source: PlaneFile, target: PlaneFile, how: Reduction, threads: int) -> None:
    """Fill `target`, half as large in both directions, from `source`, strip by strip.

    Raises:
        OSError: reading or writing failed.
    """
    halve = halve_mode if how == "mode" else halve_average

    def reduce_strip(band: int, row0: int) -> None:
        row1 = min(row0 + STRIP_ROWS, source.shape_yx[0])
        rows = source.read_rows(band, row0, row1)
        if rows.any():
            target.write_rows(band, row0 // 2, halve(rows))

    strips = product(range(source.count), range(0, source.shape_yx[0], STRIP_ROWS))
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda strip: reduce_strip(*strip), strips):
            pass


def halve_mode(values: NDArray[Any]) -> NDArray[Any]:
    """The most frequent value of each 2 x 2 block; of equally frequent ones the largest.

    So an overview shows no class that is not there, and ties go by the precedence of the classes:
    missing, then cloud, semi-transparent cloud, shadow, clear, undefined. Odd last rows and columns
    count double. (rows, cols) to (ceil(rows / 2), ceil(cols / 2)).
    """
    first, second, third, fourth = _quarters(values)
    low_a, high_a = np.minimum(first, second), np.maximum(first, second)
    low_b, high_b = np.minimum(third, fourth), np.maximum(third, fourth)
    lowest, largest = np.minimum(low_a, low_b), np.maximum(high_a, high_b)
    inner_a, inner_b = np.maximum(low_a, low_b), np.minimum(high_a, high_b)
    inner_low, inner_high = np.minimum(inner_a, inner_b), np.maximum(inner_a, inner_b)
    # Sorted: lowest <= inner_low <= inner_high <= largest. Equal inner ones are the mode; else
    # only a pair at one of the ends can be, and the upper pair wins.
    is_low_pair = (lowest == inner_low) & (inner_high != largest)
    ends = np.where(is_low_pair, lowest, largest)
    mode: NDArray[Any] = np.where(inner_low == inner_high, inner_low, ends)
    return mode


def halve_average(values: NDArray[Any]) -> NDArray[Any]:
    """The mean of each 2 x 2 block, in the dtype of `values`; NaN spreads.

    Odd last rows and columns count double, which is the mean of what is there.
    (rows, cols) to (ceil(rows / 2), ceil(cols / 2)).
    """
    first, second, third, fourth = _quarters(values)
    mean: NDArray[Any] = ((first + second) + (third + fourth)) * values.dtype.type(0.25)
    return mean


def _quarters(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The upper left, upper right, lower left and lower right of all 2 x 2 blocks."""
    pad_yx = values.shape[0] % 2, values.shape[1] % 2
    if any(pad_yx):
        values = np.pad(values, ((0, pad_yx[0]), (0, pad_yx[1])), mode="edge")
    for dy, dx in product((0, 1), (0, 1)):
        yield values[dy::2, dx::2]


def allocated_bytes(folder: Path) -> int:
    """What the files in a folder take on disk, holes not counted."""
    # st_blocks counts 512 byte units on every POSIX system; Windows has none.
    return sum(
        getattr(stat, "st_blocks", -(-stat.st_size // 512)) * 512
        for stat in (entry.stat() for entry in os.scandir(folder) if entry.is_file())
    )
