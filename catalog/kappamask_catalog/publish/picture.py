"""The picture `image | mask | truth` that shows at a glance whether a mask makes sense."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kappamask_catalog.publish.previews import color_classes, read_reduced
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import OutputError
from kappamask_udf.pixels import BandSource, PixelWindow

PANEL_PX = 620
_GAP_PX = 16
_TITLE_PX = 44
_LEGEND_PX = 56
_BACKGROUND = (250, 250, 248)
_INK = (30, 30, 30)
_CHECKER = (225, 225, 225)
_RGB_BANDS = ("B04", "B03", "B02")
# Reflectance that is drawn as white, and the exponent that lifts dark surfaces: clouds stay
# white and ground stays visible. Chosen by eye on the embedded scene.
_WHITE_REFLECTANCE = 0.45
_GAMMA = 0.65
_ROWS_AT_ONCE = 480


def write_comparison(product: BandSource, mask: Path, truth: Path, png: Path) -> None:
    """Draw the product in true colour, its mask and the truth side by side, with a legend.

    Args:
        product: with bands B02, B03 and B04.
        mask: class ids on the product's 10 m grid.
        truth: the same.
        png: what is written.

    Raises:
        OutputError: the picture cannot be written.
    """
    panels = (
        ("image", Image.fromarray(_true_color(product), "RGB")),
        ("mask", _on_checker(color_classes(read_reduced(mask, PANEL_PX)))),
        ("truth", _on_checker(color_classes(read_reduced(truth, PANEL_PX)))),
    )
    width, height = (max(panel.size[axis] for _, panel in panels) for axis in (0, 1))
    size = (
        len(panels) * width + (len(panels) + 1) * _GAP_PX,
        _TITLE_PX + height + _LEGEND_PX,
    )
    canvas = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for index, (title, panel) in enumerate(panels):
        left = _GAP_PX + index * (width + _GAP_PX)
        draw.text((left, 12), title, fill=_INK, font=ImageFont.load_default(22))
        canvas.paste(panel, (left, _TITLE_PX))
        draw.rectangle(
            (left - 1, _TITLE_PX - 1, left + panel.width, _TITLE_PX + panel.height),
            outline=(170, 170, 170),
        )
    _draw_legend(draw, (_GAP_PX, _TITLE_PX + height + 18))
    try:
        canvas.save(png, optimize=True)
    except OSError as error:
        raise OutputError(f"cannot write {png}: {error.strerror or error}") from error


def _draw_legend(draw: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    font = ImageFont.load_default(17)
    left, top = corner
    for mask_class in MaskClass:
        if mask_class is MaskClass.UNDEFINED:
            continue
        box = (left, top, left + 20, top + 20)
        draw.rectangle(box, fill=mask_class.style.rgba[:3], outline=(120, 120, 120))
        draw.text((left + 28, top), mask_class.style.title, fill=_INK, font=font)
        left += 28 + round(draw.textlength(mask_class.style.title, font=font)) + 30


def _on_checker(rgba: NDArray[np.uint8]) -> Image.Image:
    """Colours on a light ground, so that undefined pixels are seen as empty."""
    ground = Image.new("RGBA", (rgba.shape[1], rgba.shape[0]), (*_CHECKER, 255))
    return Image.alpha_composite(ground, Image.fromarray(rgba, "RGBA")).convert("RGB")


def _true_color(product: BandSource) -> NDArray[np.uint8]:
    """(rows, cols, 3) uint8, reduced by whole steps to at most the panel's size."""
    rows, cols = product.shape_yx
    scale = min(1.0, PANEL_PX / max(rows, cols))
    target = tuple(max(1, round(size * scale)) for size in (rows, cols))
    row_index = ((np.arange(target[0]) + 0.5) * rows / target[0]).astype(int)
    col_index = ((np.arange(target[1]) + 0.5) * cols / target[1]).astype(int)
    planes = [_read_pixels(product, band, row_index, col_index) for band in _RGB_BANDS]
    reflectance = np.clip(np.stack(planes, axis=-1) / _WHITE_REFLECTANCE, 0, 1)
    return np.asarray(255 * reflectance**_GAMMA, np.uint8)


def _read_pixels(
    product: BandSource, band: str, row_index: NDArray[np.intp], col_index: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(rows, cols) reflectance of single pixels, read strip by strip."""
    step = product.band_resolution_m(band) // 10
    calibration = product.calibration(band)
    rows, cols = (-(-size // step) for size in product.shape_yx)
    picked = np.empty((len(row_index), len(col_index)))
    for row0 in range(0, rows, _ROWS_AT_ONCE):
        window = PixelWindow(row0, min(row0 + _ROWS_AT_ONCE, rows), 0, cols)
        inside = (row_index // step >= window.row0) & (row_index // step < window.row1)
        if inside.any():
            dn = product.read_dn(band, window)
            picked[inside] = dn[(row_index[inside] // step - row0)[:, None], col_index // step]
    return (picked + calibration.offset * (picked > 0)) / calibration.quantification
