"""The real surface under the simulated clouds, continued without end by mirroring."""

from functools import cache
from importlib.resources import as_file, files

import numpy as np
import rasterio
from numpy.typing import NDArray

from kappamask_udf.bands import BANDS
from kappamask_udf.errors import CorruptDataError
from kappamask_udf.pixels import PixelWindow

SURFACE_PX = 1020
"""Side of the embedded crop at 10 m; 510 at 20 m, 170 at 60 m."""
SURFACE_QUANTIFICATION = 10000.0
"""DN per reflectance of the embedded crop, which has no offset."""


def read_reflectance(band: str, window: PixelWindow) -> NDArray[np.float32]:
    """(rows, cols) float32 top-of-atmosphere reflectance on the band's own grid.

    Args:
        band: `B01` to `B12`.
        window: counted from the surface's upper-left corner; beyond the crop the surface is
            mirrored, edge pixels repeated once, so that there is no seam.

    Raises:
        CorruptDataError: the embedded file is damaged.
    """
    surface = _read_surface(band)
    rows = _mirrored(window.row0, window.row1, surface.shape[0])
    cols = _mirrored(window.col0, window.col1, surface.shape[1])
    return surface[rows[:, None], cols[None, :]]


def _mirrored(start: int, stop: int, size: int) -> NDArray[np.intp]:
    position = np.arange(start, stop) % (2 * size)
    return np.minimum(position, 2 * size - 1 - position).astype(np.intp)


@cache
def _read_surface(band: str) -> NDArray[np.float32]:
    side = SURFACE_PX * 10 // BANDS[band].resolution_m
    with as_file(files("kappamask_catalog.scene") / "surface" / f"{band}.jp2") as path:
        try:
            with rasterio.open(path) as dataset:
                numbers = dataset.read(1)
        except rasterio.errors.RasterioError as error:
            raise CorruptDataError(
                f"embedded surface {path.name} cannot be read ({error}): reinstall the package"
            ) from error
    if numbers.shape != (side, side):
        raise CorruptDataError(
            f"embedded surface {path.name} has shape {numbers.shape}, not {(side, side)}: "
            "reinstall the package"
        )
    reflectance: NDArray[np.float32] = numbers.astype(np.float32) / np.float32(
        SURFACE_QUANTIFICATION
    )
    reflectance.flags.writeable = False  # one array is shared by all callers
    return reflectance
