"""Simulated clouds: optical thickness of two layers, and the classes that follow from it.

The lower layer is cumulus and stratocumulus of water drops, the upper one cirrus of ice. Their
optical thickness at 550 nm comes from fractal noise, so that it is known everywhere and at any
size. Truth is a threshold on it:

| class | condition |
|---|---|
| cloud | thickness of both layers at least `CLOUD_MIN_THICKNESS` |
| semi-transparent cloud | at least `SEMI_TRANSPARENT_MIN_THICKNESS` |
| cloud shadow | neither, and thickness towards the sun at least `SHADOW_MIN_THICKNESS` |
| clear | the rest |
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.scene.geometry import VIEW, Acquisition, shadow_shift_px
from kappamask_catalog.scene.noise import FractalNoise, stream_key
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import PixelWindow

# ISCCP (Rossow and Schiffer 1999, BAMS 80, 2261-2287) calls a cloud thin below an optical
# thickness of 3.6. What an analyst can see in an image without a cirrus band begins at about
# 0.5, where the reflectance of a dark surface rises by 0.03.
CLOUD_MIN_THICKNESS = 3.6
SEMI_TRANSPARENT_MIN_THICKNESS = 0.5
# Where the direct beam has lost a quarter, which shows against the unshaded surroundings.
SHADOW_MIN_THICKNESS = 1.0

_CIRRUS_SHEAR = 0.8
"""Columns by which cirrus streaks move per row, which turns them off the grid's axes."""


@dataclass(frozen=True)
class Weather:
    """How cloudy a date is: thresholds in deviations of the noise, heights, densities."""

    name: str
    low_threshold: float
    """The lower layer is where the noise is above this: 0 covers half, 0.7 a quarter."""
    low_density: float
    """Optical thickness one deviation above the threshold."""
    low_height_m: float
    high_threshold: float
    high_density: float
    high_height_m: float


REGIMES: tuple[Weather, ...] = (
    Weather("fair", 0.72, 26.0, 1700.0, 1.35, 3.0, 9200.0),
    Weather("broken", 0.42, 30.0, 1900.0, 2.2, 2.0, 9800.0),
    Weather("nearly clear", 2.05, 22.0, 1300.0, 2.6, 1.2, 9000.0),
    Weather("heavy", -0.85, 36.0, 2200.0, 1.2, 2.2, 10400.0),
    Weather("cirrus", 1.35, 24.0, 1500.0, 0.55, 3.0, 9600.0),
)
"""Weather in turn, a regime every five days, which is the revisit of two spacecraft."""
_FIRST_FAIR_DAY = date(2026, 6, 1)


def weather_of(day: date) -> Weather:
    """The weather of a day; it changes every five days and comes back after 25."""
    return REGIMES[(day - _FIRST_FAIR_DAY).days // 5 % len(REGIMES)]


@dataclass(frozen=True)
class Thickness:
    """Optical thickness at 550 nm over a window, (rows, cols) float32 each."""

    low: NDArray[np.float32]
    """Lower layer along the line of sight."""
    high: NDArray[np.float32]
    """Upper layer along the line of sight."""
    low_sunward: NDArray[np.float32]
    """Lower layer between the ground and the sun."""
    high_sunward: NDArray[np.float32]
    """Upper layer between the ground and the sun."""

    def classify(self) -> NDArray[np.uint8]:
        """(rows, cols) uint8 `MaskClass` values; precedence cloud, thin cloud, shadow."""
        total = self.low + self.high
        truth = np.full(total.shape, MaskClass.CLEAR, np.uint8)
        truth[self.low_sunward + self.high_sunward >= SHADOW_MIN_THICKNESS] = MaskClass.CLOUD_SHADOW
        truth[total >= SEMI_TRANSPARENT_MIN_THICKNESS] = MaskClass.SEMI_TRANSPARENT_CLOUD
        truth[total >= CLOUD_MIN_THICKNESS] = MaskClass.CLOUD
        return truth


@dataclass(frozen=True)
class CloudField:
    """The clouds of one date, over an endless 10 m grid."""

    acquisition: Acquisition
    seed: int

    @property
    def weather(self) -> Weather:
        """The weather of the date."""
        return weather_of(self.acquisition.day)

    @property
    def low_shadow_px(self) -> tuple[int, int]:
        """Rows and columns from a low cloud to its shadow."""
        return self._shadow_px(self.weather.low_height_m)

    @property
    def high_shadow_px(self) -> tuple[int, int]:
        """Rows and columns from cirrus to its shadow."""
        return self._shadow_px(self.weather.high_height_m)

    def _shadow_px(self, height_m: float) -> tuple[int, int]:
        return shadow_shift_px(self.acquisition.sun, VIEW, height_m)

    def thickness(self, window: PixelWindow) -> Thickness:
        """Optical thickness over a window of the endless grid."""
        return Thickness(
            low=self.low_thickness(window),
            high=self.high_thickness(window),
            low_sunward=self.low_thickness(_shifted(window, self.low_shadow_px)),
            high_sunward=self.high_thickness(_shifted(window, self.high_shadow_px)),
        )

    def low_thickness(self, window: PixelWindow) -> NDArray[np.float32]:
        """(rows, cols) float32 of the lower layer: cells with dense cores and ragged rims."""
        cells = FractalNoise(self._key("cells"), 128, 2, 0.57).evaluate(window)
        groups = FractalNoise(self._key("groups"), 1024, 256, 0.6).evaluate(window)
        excess: NDArray[np.float32] = (
            cells + np.float32(0.35) * groups - np.float32(self.weather.low_threshold)
        )
        np.maximum(excess, 0, out=excess)
        excess *= np.sqrt(excess)
        excess *= np.float32(self.weather.low_density)
        return excess

    def high_thickness(self, window: PixelWindow) -> NDArray[np.float32]:
        """(rows, cols) float32 of the upper layer: thin sheets drawn out into streaks."""
        rows, cols = window.shape_yx
        lean = np.floor(np.arange(window.row0, window.row1) * _CIRRUS_SHEAR).astype(np.intp)
        wide = PixelWindow(
            window.row0, window.row1, window.col0 + int(lean[0]), window.col1 + int(lean[-1])
        )
        streaks = FractalNoise(self._key("streaks"), 128, 4, 0.6, stretch=4).evaluate(wide)
        columns = (lean - lean[0])[:, None] + np.arange(cols)[None, :]
        leaning = streaks[np.arange(rows)[:, None], columns]
        sheets = FractalNoise(self._key("sheets"), 1024, 256, 0.6).evaluate(window)
        excess: NDArray[np.float32] = np.float32(0.55) * leaning + np.float32(0.84) * sheets
        excess -= np.float32(self.weather.high_threshold)
        np.maximum(excess, 0, out=excess)
        excess *= np.float32(self.weather.high_density)
        return excess

    def _key(self, layer: str) -> int:
        return stream_key("clouds", self.seed, self.acquisition.day.isoformat(), layer)


def _shifted(window: PixelWindow, shadow_px: tuple[int, int]) -> PixelWindow:
    """Where the clouds lie whose shadows fall on the window."""
    rows, cols = shadow_px
    return PixelWindow(
        window.row0 - rows, window.row1 - rows, window.col0 - cols, window.col1 - cols
    )
