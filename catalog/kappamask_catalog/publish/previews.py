"""Small pictures of masks for catalogs and file managers."""

from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.enums import Resampling

from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import OutputError

PREVIEW_PX = 1372
"""An eighth of a full product, which is one of the overviews of its mask."""
THUMBNAIL_PX = 512


def write_preview(mask: Path, png: Path, max_side_px: int) -> None:
    """Draw a mask in its class colours, at most `max_side_px` pixels per side.

    Raises:
        OutputError: the picture cannot be written.
    """
    classes = read_reduced(mask, max_side_px)
    try:
        Image.fromarray(color_classes(classes), "RGBA").save(png, optimize=True)
    except OSError as error:
        raise OutputError(f"cannot write {png}: {error.strerror or error}") from error


def read_reduced(raster: Path, max_side_px: int) -> NDArray[np.uint8]:
    """(rows, cols) uint8 class ids, reduced through the file's overviews if it is larger."""
    with rasterio.open(raster) as dataset:
        scale = min(1.0, max_side_px / max(dataset.shape))
        shape = tuple(max(1, round(size * scale)) for size in dataset.shape)
        classes: NDArray[np.uint8] = dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
    return classes


def color_classes(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(rows, cols, 4) uint8 RGBA of class ids."""
    table = np.zeros((256, 4), np.uint8)
    for mask_class in MaskClass:
        table[mask_class] = mask_class.style.rgba
    colored: NDArray[np.uint8] = table[classes]
    return colored
