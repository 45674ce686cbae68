"""Where the engine's pixels come from: windows, calibration and the source protocol.

A product has one grid per resolution (10, 20, 60 m), all anchored at the product's
upper-left corner. Nothing here opens a file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Level = Literal["L1C", "L2A"]

NATIVE_RESOLUTION_M = 10
"""Ground sampling distance of the grid on which masks are made, metres."""
SATURATED_DN = 65535
"""DN of a saturated pixel: valid, and clipped by the scaling. Source: `Special_Values` in
MTD_MSIL1C.xml."""


@dataclass(frozen=True)
class PixelWindow:
    """Half-open ranges of rows and columns of one grid: `[row0, row1) x [col0, col1)`."""

    row0: int
    row1: int
    col0: int
    col1: int

    def __post_init__(self) -> None:
        if not (self.row0 < self.row1 and self.col0 < self.col1):
            raise ValueError(
                f"window must not be empty, got rows {self.row0}..{self.row1} "
                f"and columns {self.col0}..{self.col1}"
            )

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0

    def padded(self, margin_px: int) -> "PixelWindow":
        """The window with `margin_px` more on every side; may leave the grid."""
        return PixelWindow(
            self.row0 - margin_px, self.row1 + margin_px,
            self.col0 - margin_px, self.col1 + margin_px,
        )  # fmt: skip

    def clipped(self, shape_yx: tuple[int, int]) -> "PixelWindow":
        """The part inside a grid of `shape_yx`; raises `ValueError` if there is none."""
        return PixelWindow(
            max(self.row0, 0), min(self.row1, shape_yx[0]),
            max(self.col0, 0), min(self.col1, shape_yx[1]),
        )  # fmt: skip

    def aligned(self, step_px: int) -> "PixelWindow":
        """The window grown outward to multiples of `step_px`, counted from the grid's origin."""
        return PixelWindow(
            self.row0 // step_px * step_px, -(-self.row1 // step_px) * step_px,
            self.col0 // step_px * step_px, -(-self.col1 // step_px) * step_px,
        )  # fmt: skip


@dataclass(frozen=True)
class Calibration:
    """From digital numbers to physical values: `(dn + offset) / quantification`.

    Reflectance for spectral bands, optical thickness for AOT, centimetres for WVP.
    """

    quantification: float
    """Divisor, 10000 as a rule for reflectance."""
    offset: float = 0.0
    """Added to DN first: -1000 as a rule from processing baseline 04.00 on, else 0."""


class BandSource(Protocol):
    """One product, read window by window. Implementations are used from several threads,
    one thread per band at a time.
    """

    @property
    def level(self) -> Level:
        """Processing level."""
        ...

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the 10 m grid."""
        ...

    def band_resolution_m(self, band: str) -> int:
        """Metres per pixel of the raster that `read_dn` reads. Raises `MissingBandError`."""
        ...

    def block_rows(self, band: str) -> int:
        """Rows of the file's own blocks: reading multiples of it decodes nothing twice."""
        ...

    def calibration(self, band: str) -> Calibration:
        """How to read the digital numbers of a band."""
        ...

    def read_dn(self, band: str, window: PixelWindow) -> NDArray[np.uint16]:
        """(rows, cols) uint16 digital numbers of a window of the band's own grid.

        Raises:
            CorruptDataError: the file cannot be decoded.
        """
        ...

    def read_lost(self, bands: Sequence[str], window: PixelWindow) -> NDArray[np.bool_] | None:
        """(rows, cols) bool on the 10 m grid: outside the detector footprint of one of the bands
        or lost according to the quality mask; `None` where the product has no such masks.
        """
        ...
