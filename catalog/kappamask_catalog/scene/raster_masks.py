"""Raster masks of products from processing baseline 04.00 on."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.scene.demo import DemoScene, Strip, block_any
from kappamask_catalog.scene.footprint import detector_indices
from kappamask_catalog.scene.layout import ProductLayout
from kappamask_catalog.scene.optics import block_mean
from kappamask_catalog.scene.rasters import StripFile
from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import PixelWindow

# Bands of MSK_QUALIT, counted from 0. Source: ESA Level-1C product format, baseline 04.00:
# ancillary lost, ancillary degraded, packets lost, packets degraded, defective, no data,
# crosstalk partially corrected, saturated.
QUALITY_BANDS = 8
QUALITY_LOST, QUALITY_NO_DATA = 2, 5
_CLASSI_BANDS = 3
"""Opaque cloud, cirrus, snow; snow is nowhere in this scene."""


class RasterMasks:
    """The mask files of a product, written along with its bands.

    All bands of a resolution have the same footprint and losses here, so each mask is encoded
    once per resolution and copied for the other bands.
    """

    def __init__(self, layout: ProductLayout, folder: Path) -> None:
        self._folder = folder
        self._layout = layout
        self._bands: dict[int, list[str]] = {}
        for band in layout.bands:
            self._bands.setdefault(BANDS[band].resolution_m, []).append(band)
        self._files = {
            (kind, resolution): self._file(kind, bands[0], resolution, count)
            for resolution, bands in self._bands.items()
            for kind, count in (("MSK_DETFOO", 1), ("MSK_QUALIT", QUALITY_BANDS))
        }
        self._clouds = self._file("MSK_CLASSI", "B00", 60, _CLASSI_BANDS)

    def _file(self, kind: str, band: str, resolution_m: int, count: int) -> StripFile:
        scene = self._layout.scene
        path = self._folder / self._layout.mask_path(kind, band)
        shape = scene.band_shape_yx(resolution_m)
        return StripFile(path, resolution_m, shape, scene.corner_xy, "uint8", count)

    def write(self, strip: Strip) -> None:
        """Add the masks of a strip."""
        scene = self._layout.scene
        for (kind, resolution), file in self._files.items():
            build = detector_plane if kind == "MSK_DETFOO" else quality_planes
            file.write(strip.window.row0 * 10 // resolution, build(scene, strip.window, resolution))
        self._clouds.write(strip.window.row0 // 6, _cloud_planes(strip.truth))

    def finish(self) -> None:
        """Encode the files and copy them to the bands that share them."""
        for (kind, resolution), file in self._files.items():
            file.finish()
            for band in self._bands[resolution][1:]:
                shutil.copyfile(file.path, self._folder / self._layout.mask_path(kind, band))
        self._clouds.finish()

    def close(self) -> None:
        """Close what is open after a failure."""
        for file in (*self._files.values(), self._clouds):
            file.close()


def detector_plane(scene: DemoScene, window: PixelWindow, resolution_m: int) -> NDArray[np.uint8]:
    """(rows, cols) uint8 detector indices at a resolution; 0 if any part has no data."""
    factor = resolution_m // 10
    plane = np.ascontiguousarray(detector_indices(scene, window)[::factor, ::factor])
    plane[block_any(scene.missing(window), factor)] = 0
    return plane


def quality_planes(scene: DemoScene, window: PixelWindow, resolution_m: int) -> NDArray[np.uint8]:
    """(8, rows, cols) uint8 flags at a resolution, set if they are for any part of the pixel."""
    factor = resolution_m // 10
    rows, cols = window.shape_yx
    planes = np.zeros((QUALITY_BANDS, rows // factor, cols // factor), np.uint8)
    planes[QUALITY_LOST] = block_any(scene.lost_pixels(window), factor)
    planes[QUALITY_NO_DATA] = block_any(scene.missing(window), factor)
    return planes


def _cloud_planes(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(3, rows, cols) uint8 at 60 m: where half of the pixel or more is of the class."""
    shares = (
        block_mean((truth == mask_class).astype(np.float32), 6)
        for mask_class in (MaskClass.CLOUD, MaskClass.SEMI_TRANSPARENT_CLOUD)
    )
    opaque, thin = (share >= np.float32(0.5) for share in shares)
    return np.stack([opaque, thin, np.zeros_like(opaque)]).astype(np.uint8)
