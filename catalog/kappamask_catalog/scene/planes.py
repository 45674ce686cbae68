"""The digital numbers of each image file, computed from a strip of the scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.scene.demo import Strip
from kappamask_catalog.scene.layout import LAYER_QUANTIFICATION, Layer, ProductLayout
from kappamask_catalog.scene.noise import normal_grid, stream_key
from kappamask_catalog.scene.optics import OPTICS, block_mean
from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import SATURATED_DN, Calibration, PixelWindow

# Reflectance that becomes white in the colour image. Source: the TCI of ESA's products is
# saturated from DN 3558 without offset.
_TCI_WHITE = 0.3558
# Clear summer air over the place: aerosol optical thickness, and water vapour in cm.
_AEROSOL, _AEROSOL_SPREAD = 0.12, 0.004
_VAPOUR, _VAPOUR_SPREAD = 2.6, 0.03
# Two-way transmittance of water vapour that Level-2A gives back to B09 over the ground.
_B09_TRANSMITTANCE = 0.55

_SCL_OF_TRUTH = {
    MaskClass.MISSING: 0,
    MaskClass.CLOUD_SHADOW: 3,
    MaskClass.SEMI_TRANSPARENT_CLOUD: 8,
    MaskClass.CLOUD: 9,
}
_SCL_VEGETATION, _SCL_BARE, _SCL_WATER, _SCL_CIRRUS = 4, 5, 6, 10
_CIRRUS_B10 = 0.012
"""B10 reflectance above which a semi-transparent cloud is cirrus; low cloud stays below."""


def surface_reflectance(reflectance: NDArray[np.float32], band: str) -> NDArray[np.float32]:
    """Level-2A from Level-1C: path reflectance and the loss on the way taken back.

    A plain correction with the constants of the simulation, not Sen2Cor; it gives the clouds and
    the ground the values that a Level-2A reader expects, nothing finer.
    """
    path = OPTICS[band].path
    transmittance = _B09_TRANSMITTANCE if band == "B09" else 1.0 - 1.3 * path - 0.03
    return (reflectance - np.float32(path)) / np.float32(transmittance)


def digital_numbers(
    values: NDArray[np.float32], calibration: Calibration, lowest: int
) -> NDArray[np.uint16]:
    """uint16 DN of reflectance; NaN becomes 0, the rest `lowest` to one below saturation."""
    numbers = np.rint(values * np.float32(calibration.quantification))
    numbers -= np.float32(calibration.offset)
    np.clip(numbers, lowest, SATURATED_DN - 1, out=numbers)
    filled: NDArray[np.uint16] = np.nan_to_num(numbers, copy=False, nan=0.0).astype(np.uint16)
    return filled


@dataclass
class StripPlanes:
    """The image planes of one strip; those that others derive from are kept."""

    layout: ProductLayout
    strip: Strip

    def __post_init__(self) -> None:
        if self.layout.level == "L2A":
            self._spectral = {
                band: surface_reflectance(plane, band)
                for band, plane in self.strip.reflectance.items()
            }
        else:
            self._spectral = self.strip.reflectance

    def plane(self, layer: Layer) -> NDArray[np.uint16] | NDArray[np.uint8]:
        """(rows, cols), or (3, rows, cols) for `TCI`, of one image file."""
        if layer.name == "TCI":
            return self.colour(layer.resolution_m)
        if layer.name == "SCL":
            return self.scene_classes(layer.resolution_m)
        if layer.name == "AOT":
            return self._atmosphere(layer, _AEROSOL, _AEROSOL_SPREAD)
        if layer.name == "WVP":
            return self._atmosphere(layer, _VAPOUR, _VAPOUR_SPREAD)
        # DN 0 stands for no data, but B09 and B10 reach it over dark ground in real products
        lowest = 0 if BANDS[layer.name].is_zero_valid and not self.layout.has_offset else 1
        values = self.reflectance(layer.name, layer.resolution_m)
        return digital_numbers(values, self.layout.calibration, lowest)

    def reflectance(self, band: str, resolution_m: int) -> NDArray[np.float32]:
        """A band at a resolution: averaged, or repeated where its own is coarser."""
        plane, own = self._spectral[band], BANDS[band].resolution_m
        if resolution_m > own:
            return block_mean(plane, resolution_m // own)
        return repeated(plane, own // resolution_m)

    def colour(self, resolution_m: int) -> NDArray[np.uint8]:
        """(3, rows, cols) uint8 red, green, blue; 0 is no data."""
        planes = [self.reflectance(band, resolution_m) for band in ("B04", "B03", "B02")]
        shades = np.clip(np.stack(planes) * np.float32(255 / _TCI_WHITE), 1, 255)
        filled: NDArray[np.uint8] = np.nan_to_num(np.rint(shades), nan=0.0).astype(np.uint8)
        return filled

    def scene_classes(self, resolution_m: int) -> NDArray[np.uint8]:
        """(rows, cols) uint8 Level-2A scene classes: the truth of the upper-left 10 m pixel.

        The ground is told by vegetation index and brightness where the bands for it are written,
        else it is bare.
        """
        step = resolution_m // 10
        truth = self.strip.truth[::step, ::step]
        classes = np.full(truth.shape, _SCL_BARE, np.uint8)
        if {"B04", "B08"} <= self._spectral.keys():
            red = np.nan_to_num(self.reflectance("B04", resolution_m))
            infrared = np.nan_to_num(self.reflectance("B08", resolution_m))
            classes[infrared - red > 0.4 * (infrared + red)] = _SCL_VEGETATION
            classes[infrared < 0.06] = _SCL_WATER
        for mask_class, scene_class in _SCL_OF_TRUTH.items():
            classes[truth == mask_class] = scene_class
        if "B10" in self.strip.reflectance:
            cirrus = repeated(self.strip.reflectance["B10"], 6)[::step, ::step]
            is_thin = truth == MaskClass.SEMI_TRANSPARENT_CLOUD
            classes[is_thin & (cirrus > _CIRRUS_B10)] = _SCL_CIRRUS
        return classes

    def _atmosphere(self, layer: Layer, mean: float, spread: float) -> NDArray[np.uint16]:
        """A smooth layer of Level-2A: nearly the same everywhere, 0 where there is no data."""
        step = layer.resolution_m // 10
        window, scene = self.strip.window, self.layout.scene
        # estimated on the 60 m grid, as water vapour is
        coarse = PixelWindow(window.row0 // 6, window.row1 // 6, window.col0 // 6, window.col1 // 6)
        key = stream_key("atmosphere", scene.seed, scene.date.isoformat(), layer.name)
        values = np.float32(mean) + np.float32(spread) * normal_grid(key, coarse)
        numbers = repeated(np.rint(values * LAYER_QUANTIFICATION), 6 // step)
        numbers[self.strip.truth[::step, ::step] == MaskClass.MISSING] = 0
        return numbers.astype(np.uint16)


def repeated(plane: NDArray[np.float32], times: int) -> NDArray[np.float32]:
    """Every pixel `times` x `times`."""
    return plane.repeat(times, axis=0).repeat(times, axis=1) if times > 1 else plane
