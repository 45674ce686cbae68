"""The scene: a real surface, simulated clouds over it, and what each pixel really is."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.scene.clouds import CloudField
from kappamask_catalog.scene.geometry import (
    SURFACE_CORNER_XY,
    TILE_CORNER_XY,
    TILE_PX,
    Acquisition,
)
from kappamask_catalog.scene.ground import read_reflectance
from kappamask_catalog.scene.noise import normal_grid, stream_key
from kappamask_catalog.scene.optics import OPTICS, CloudLight, cloud_light, top_of_atmosphere
from kappamask_udf.bands import BANDS, MSI_BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import ProductError
from kappamask_udf.pixels import PixelWindow

DEMO_DATES: tuple[date, ...] = tuple(date(2026, 6, 1) + timedelta(days=5 * n) for n in range(5))
"""Five passes, a weather each: fair, broken, nearly clear, heavy, cirrus."""

GRID_PX = 6
"""Pixels at 10 m after which the 10, 20 and 60 m grids meet again."""
_GAIN_SPREAD = 0.03
"""Largest deviation from 1 of a date's gain on the surface (haze, view and sun angles)."""
_BAND_GAIN_SPREAD = 0.005

# Slope of the swath's edge: columns to the west per row to the south on a descending pass, whose
# track leans some 13 degrees from north at this latitude.
EDGE_SLOPE = 0.23


@dataclass(frozen=True)
class Strip:
    """Some rows of a scene, every band on its own grid."""

    window: PixelWindow
    """The 10 m pixels covered, in the scene's own rows and columns; grown outward to the 60 m
    grid, so it may leave the scene at the lower and right edge by up to 5 pixels."""
    reflectance: dict[str, NDArray[np.float32]]
    """Per band (rows, cols) float32; NaN where the sensor has no data."""
    truth: NDArray[np.uint8]
    """(rows, cols) uint8 at 10 m, `MaskClass` values."""


@dataclass(frozen=True)
class DemoScene:
    """A scene that is a pure function of these values.

    Pixels are tied to the ground: scenes of the same date and seed agree where they overlap,
    whatever their size. Up to 7398 columns and 8922 rows the scene begins at the surface's
    corner; a larger one begins at the corner of tile 18SVG, so every scene lies inside its tile.

    Raises:
        ProductError: a size or share out of range.
    """

    size_px: int = 1020
    """Columns at 10 m, and rows if `rows_px` is not given; 1 to 10980."""
    date: date = DEMO_DATES[0]
    seed: int = 0
    rows_px: int | None = None
    missing_share: float = 0.0
    """Share of the middle row, at its east end, that lies outside the swath;
    0 to 1, and 1 leaves no data anywhere."""
    lost: PixelWindow | None = None
    """Pixels of packets lost between satellite and ground: their DN look valid, only the quality
    masks tell."""

    def __post_init__(self) -> None:
        for name, value in (("columns", self.size_px), ("rows", self.shape_yx[0])):
            if not 1 <= value <= TILE_PX:
                raise ProductError(
                    f"a scene has 1 to {TILE_PX} {name}, got {value}: choose a size in this range"
                )
        if not 0 <= self.missing_share <= 1:
            raise ProductError(
                f"the share without data must be from 0 to 1, got {self.missing_share}"
            )

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns at 10 m."""
        return self.size_px if self.rows_px is None else self.rows_px, self.size_px

    @property
    def acquisition(self) -> Acquisition:
        """The pass over the scene."""
        return Acquisition(self.date)

    @property
    def clouds(self) -> CloudField:
        """The clouds of the date."""
        return CloudField(self.acquisition, self.seed)

    @property
    def corner_xy(self) -> tuple[int, int]:
        """Upper-left corner, metres in EPSG:32618."""
        (x, y), (tile_x, tile_y) = SURFACE_CORNER_XY, TILE_CORNER_XY
        rows, cols = self.shape_yx
        fits = cols <= TILE_PX - (x - tile_x) // 10 and rows <= TILE_PX - (tile_y - y) // 10
        return SURFACE_CORNER_XY if fits else TILE_CORNER_XY

    @property
    def corner_px(self) -> tuple[int, int]:
        """Row and column of the upper-left pixel on the endless grid of the surface."""
        (x, y), (corner_x, corner_y) = SURFACE_CORNER_XY, self.corner_xy
        return (y - corner_y) // 10, (corner_x - x) // 10

    def band_shape_yx(self, resolution_m: int) -> tuple[int, int]:
        """Rows and columns at a resolution, rounded up."""
        rows, cols = self.shape_yx
        return -(-rows * 10 // resolution_m), -(-cols * 10 // resolution_m)

    def edge_column(self, row: float) -> float:
        """Column at 10 m where the swath ends at a row; beyond it there is no data."""
        rows, cols = self.shape_yx
        if self.missing_share == 0:
            return float("inf")
        if self.missing_share == 1:
            return float("-inf")
        return cols * (1 - self.missing_share) + EDGE_SLOPE * (rows / 2 - row)

    def missing(self, window: PixelWindow) -> NDArray[np.bool_]:
        """(rows, cols) bool at 10 m: the pixel's centre lies outside the swath."""
        rows = np.arange(window.row0, window.row1) + 0.5
        cols = np.arange(window.col0, window.col1) + 0.5
        edge = np.array([self.edge_column(row) for row in rows])
        return cols[None, :] >= edge[:, None]

    def lost_pixels(self, window: PixelWindow) -> NDArray[np.bool_]:
        """(rows, cols) bool at 10 m: the pixel was lost on its way to the ground."""
        is_lost = np.zeros(window.shape_yx, np.bool_)
        if self.lost is not None:
            rows = slice(max(self.lost.row0 - window.row0, 0), max(self.lost.row1 - window.row0, 0))
            cols = slice(max(self.lost.col0 - window.col0, 0), max(self.lost.col1 - window.col0, 0))
            is_lost[rows, cols] = True
        return is_lost

    def strips(
        self, rows_px: int = 240, bands: Sequence[str] | None = None, threads: int = 2
    ) -> Iterator[Strip]:
        """The scene from north to south; memory is bounded by rows, width and threads.

        Args:
            rows_px: rows of a strip at 10 m, a multiple of 6.
            bands: which bands to compute, all by default.
            threads: strips computed at a time; the values do not depend on it.
        """
        pending: deque[Future[Strip]] = deque()
        with ThreadPoolExecutor(threads) as executor:
            for row in range(0, self.shape_yx[0], rows_px):
                stop = min(row + rows_px, self.shape_yx[0])
                window = PixelWindow(row, stop, 0, self.size_px)
                pending.append(executor.submit(self.strip, window, bands))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def strip(self, window: PixelWindow, bands: Sequence[str] | None = None) -> Strip:
        """Any window of the scene, grown outward to the 60 m grid."""
        window = window.aligned(GRID_PX)
        ground = _moved(window, self.corner_px)
        thickness = self.clouds.thickness(ground)
        truth = thickness.classify()
        is_missing = self.missing(window)
        truth[is_missing | self.lost_pixels(window)] = MaskClass.MISSING
        finest = cloud_light(thickness, self.acquisition.sun.zenith_deg)
        lights = {1: finest}
        reflectance = {}
        for band in bands if bands is not None else (info.name for info in MSI_BANDS):
            factor = BANDS[band].resolution_m // 10
            if factor not in lights:
                lights[factor] = finest.averaged(factor)
            plane = self._band(band, ground, lights[factor])
            plane[block_any(is_missing, factor)] = np.nan
            reflectance[band] = plane
        return Strip(window, reflectance, truth)

    def _band(self, band: str, ground: PixelWindow, light: CloudLight) -> NDArray[np.float32]:
        factor = BANDS[band].resolution_m // 10
        own = PixelWindow(
            ground.row0 // factor, ground.row1 // factor,
            ground.col0 // factor, ground.col1 // factor,
        )  # fmt: skip
        surface = read_reflectance(band, own) * np.float32(self.gain(band))
        plane = top_of_atmosphere(surface, light, band)
        noise = normal_grid(self._key("noise", band), own)
        return plane + np.float32(OPTICS[band].noise) * noise

    def gain(self, band: str) -> float:
        """What the date does to the surface's reflectance: a factor within 3 % or so of 1."""
        common = _unit(self._key("gain")) * _GAIN_SPREAD
        return 1.0 + common + _unit(self._key("gain", band)) * _BAND_GAIN_SPREAD

    def _key(self, *parts: object) -> int:
        return stream_key("scene", self.seed, self.date.isoformat(), *parts)


def block_any(plane: NDArray[np.bool_], factor: int) -> NDArray[np.bool_]:
    """(rows / factor, cols / factor) bool: whether any pixel of a square block is set."""
    rows, cols = plane.shape
    blocks = plane.reshape(rows // factor, factor, cols // factor, factor)
    return np.asarray(blocks.any(axis=(1, 3)))


def _unit(key: int) -> float:
    """A number from -1 to 1 that a key stands for."""
    return key / 2**63 - 1


def _moved(window: PixelWindow, by: tuple[int, int]) -> PixelWindow:
    rows, cols = by
    return PixelWindow(
        window.row0 + rows, window.row1 + rows, window.col0 + cols, window.col1 + cols
    )
