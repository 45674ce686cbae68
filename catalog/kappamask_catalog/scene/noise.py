"""Fractal noise that can be evaluated anywhere: a value depends on its coordinates alone.

Each octave is a lattice of random coefficients, smoothed with a cubic B-spline. Octaves have
cells of 2^k pixels, so their sum is built from the coarsest to the finest with the two-scale
relation of B-splines: refine the coefficients by 2, add those of the next octave, go on. The
cost is that of the finest level, whatever the number of octaves, and a strip needs only its own
rows and a margin of two cells per level; there is no transform over the whole image.

Here `y, x` are rows and columns of an endless grid, which may be negative.
"""

import hashlib
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.pixels import PixelWindow

# Multipliers and shifts of the SplitMix64 finaliser (Steele, Lea and Flood 2014), used as a
# hash of lattice positions; the two odd constants that mix y and x are its golden-ratio
# increment and its first multiplier.
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))

_HALVES = np.uint64(0x0000FFFF0000FFFF)

# Standard deviation of a cubic B-spline surface with independent coefficients of deviation 1:
# per axis the sum of squared weights, averaged over a cell, is 151/315.
_SPLINE_DEVIATION = 151 / 315


def stream_key(*parts: object) -> int:
    """A 64-bit key of any printable parts, the same on every machine and in every run."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def hash_grid(key: int, window: PixelWindow) -> NDArray[np.uint64]:
    """(rows, cols) uint64 of well-mixed bits, one per grid position of the window."""
    rows = np.arange(window.row0, window.row1, dtype=np.int64).astype(np.uint64)
    cols = np.arange(window.col0, window.col1, dtype=np.int64).astype(np.uint64)
    state = _mixed(rows * _GOLDEN + np.uint64(key))[:, None] + (cols * _MIX_1)[None, :]
    return _mixed(state)


def normal_grid(key: int, window: PixelWindow) -> NDArray[np.float32]:
    """(rows, cols) float32 independent noise, mean 0 and deviation 1.

    The sum of the four 16-bit parts of a hash: bell-shaped, ends at 3.5 deviations.
    """
    bits = hash_grid(key, window)
    pairs = (bits & _HALVES) + ((bits >> np.uint64(16)) & _HALVES)
    halves = pairs.view(np.uint32)
    total = (halves[:, 0::2] + halves[:, 1::2]).astype(np.float32)
    # four uniform numbers in 0..65535: mean 2 * 65535, variance 4 * (65536^2 - 1) / 12
    return (total - np.float32(2 * 65535)) * np.float32(np.sqrt(3) / 65536)


def _mixed(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    state ^= state >> _SHIFTS[0]
    state *= _MIX_1
    state ^= state >> _SHIFTS[1]
    state *= _MIX_2
    state ^= state >> _SHIFTS[2]
    return state


@dataclass(frozen=True)
class FractalNoise:
    """A sum of octaves with a power-law spectrum, mean 0 and about deviation 1."""

    key: int
    """Random stream, see `stream_key`."""
    coarsest_px: int
    """Cell of the coarsest octave, pixels, a power of 2."""
    finest_px: int
    """Cell of the finest octave, pixels, a power of 2 that is not above `coarsest_px`."""
    persistence: float
    """Amplitude of an octave over that of the next coarser one; 0.5 is smooth, 0.7 rough."""
    stretch: int = 1
    """How much longer cells are along y than along x, a power of 2."""

    def __post_init__(self) -> None:
        for cell in (self.coarsest_px, self.finest_px, self.stretch):
            if cell < 1 or cell & (cell - 1):
                raise ValueError(f"a cell must be a power of 2, got {cell}")
        if self.finest_px > self.coarsest_px:
            raise ValueError(f"finest cell {self.finest_px} is above {self.coarsest_px}")

    def evaluate(self, window: PixelWindow) -> NDArray[np.float32]:
        """(rows, cols) float32 of the field; equal for a pixel in whatever window it lies."""
        doublings = self.stretch.bit_length() - 1
        extents = [
            PixelWindow(*_lattice_range(window.row0, window.row1, level), window.col0, window.col1)
            for level in range(doublings, 0, -1)
        ]
        extents.append(window)
        field = self._evaluate_square(extents[0])
        for extent, finer in pairwise(extents):
            field = _refined_rows(field, extent.row0, finer.row0, finer.row1)
        return np.ascontiguousarray(field)

    def _evaluate_square(self, window: PixelWindow) -> NDArray[np.float32]:
        coarse_level = self.coarsest_px.bit_length() - 1
        fine_level = self.finest_px.bit_length() - 1
        amplitudes = self.persistence ** np.arange(coarse_level - fine_level + 1)
        amplitudes /= np.sqrt(np.sum(amplitudes**2)) * _SPLINE_DEVIATION
        extent = _level_window(window, coarse_level)
        field = np.zeros(extent.shape_yx, np.float32)
        for level in range(coarse_level, -1, -1):
            if level < coarse_level:
                finer = _level_window(window, level)
                field = _refined(field, extent, finer)
                extent = finer
            if level >= fine_level:
                octave = normal_grid(stream_key(self.key, level), extent)
                octave *= np.float32(amplitudes[coarse_level - level])
                field += octave
        margin_y, margin_x = window.row0 - extent.row0, window.col0 - extent.col0
        rows, cols = window.shape_yx
        return np.ascontiguousarray(field[margin_y : margin_y + rows, margin_x : margin_x + cols])


def _level_window(window: PixelWindow, level: int) -> PixelWindow:
    """Lattice positions of a level that the pixels of a window depend on, with some to spare."""
    return PixelWindow(
        *_lattice_range(window.row0, window.row1, level),
        *_lattice_range(window.col0, window.col1, level),
    )


def _lattice_range(start: int, stop: int, level: int) -> tuple[int, int]:
    margin = 3
    return (start >> level) - margin, ((stop - 1) >> level) + margin + 1


def _refined(
    field: NDArray[np.float32], extent: PixelWindow, finer: PixelWindow
) -> NDArray[np.float32]:
    """Coefficients for half the cell: the same surface, cut to the positions of `finer`."""
    rows = _refined_rows(field, extent.row0, finer.row0, finer.row1)
    columns = _refined_rows(rows.T, extent.col0, finer.col0, finer.col1)
    return np.ascontiguousarray(columns.T)


def _refined_rows(
    field: NDArray[np.float32], start: int, fine_start: int, fine_stop: int
) -> NDArray[np.float32]:
    # Two-scale relation of the cubic B-spline: even 1/8, 6/8, 1/8; odd 1/2, 1/2.
    fine = np.empty((2 * (field.shape[0] - 2), field.shape[1]), np.float32)
    middle = field[1:-1]
    fine[0::2] = (field[:-2] + field[2:]) * np.float32(0.125) + middle * np.float32(0.75)
    fine[1::2] = (middle + field[2:]) * np.float32(0.5)
    first = 2 * (start + 1)
    return fine[fine_start - first : fine_stop - first]
