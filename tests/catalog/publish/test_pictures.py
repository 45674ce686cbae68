"""Thumbnails and the comparison picture: sizes, colours, and errors that say the file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kappamask_catalog.publish.picture import PANEL_PX, write_comparison
from kappamask_catalog.publish.previews import THUMBNAIL_PX, write_preview
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import OutputError
from kappamask_udf.pixels import Calibration, Level, PixelWindow

CLOUD_DN, GROUND_DN = 7000, 1300


class HalfCloudy:
    """A product of 600 x 1500 px: ground on the left, cloud on the right; a `BandSource`."""

    level: Level = "L1C"
    shape_yx = (600, 1500)

    def band_resolution_m(self, band: str) -> int:
        return 10

    def block_rows(self, band: str) -> int:
        return 512

    def calibration(self, band: str) -> Calibration:
        return Calibration(10000, -1000)

    def read_dn(self, band: str, window: PixelWindow) -> NDArray[np.uint16]:
        line = np.where(np.arange(1500) < 750, GROUND_DN, CLOUD_DN).astype(np.uint16)
        return np.tile(line[window.col0 : window.col1], (window.row1 - window.row0, 1))

    def read_lost(self, bands: Sequence[str], window: PixelWindow) -> None:
        return None


def test_thumbnail_is_small_and_in_class_colors(wide_mask: Path, tmp_path: Path) -> None:
    write_preview(wide_mask, tmp_path / "t.png", THUMBNAIL_PX)
    with Image.open(tmp_path / "t.png") as image:
        assert image.size == (512, 205)
        assert image.mode == "RGBA"
        assert image.getpixel((100, 50)) == MaskClass.CLEAR.style.rgba
        assert image.getpixel((400, 50)) == MaskClass.CLOUD.style.rgba
        assert image.getpixel((400, 200)) == (0, 0, 0, 0)


def test_thumbnail_of_a_small_mask_is_not_enlarged(
    result_files: dict[str, Path], tmp_path: Path
) -> None:
    write_preview(result_files["mask"], tmp_path / "t.png", THUMBNAIL_PX)
    with Image.open(tmp_path / "t.png") as image:
        assert image.size == (90, 120)


def test_comparison_shows_image_mask_and_truth(wide_mask: Path, tmp_path: Path) -> None:
    write_comparison(HalfCloudy(), wide_mask, wide_mask, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert image.mode == "RGB"
        assert image.width > 3 * PANEL_PX
        pixels = np.asarray(image).astype(int)
    row = pixels[pixels.shape[0] // 2 - 40]
    thirds = np.array_split(row, 3)
    ground, cloud = thirds[0][len(thirds[0]) // 4], thirds[0][-len(thirds[0]) // 4]
    assert cloud.min() == 255
    assert 20 < ground.max() < 150
    for part in thirds[1:]:
        assert (part == MaskClass.CLEAR.style.rgba[:3]).all(axis=-1).mean() > 0.4
        assert (part == MaskClass.CLOUD.style.rgba[:3]).all(axis=-1).mean() > 0.4


def test_comparison_has_a_legend_of_the_classes(wide_mask: Path, tmp_path: Path) -> None:
    write_comparison(HalfCloudy(), wide_mask, wide_mask, tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        legend = np.asarray(image)[-50:]
    for one in (MaskClass.CLOUD_SHADOW, MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.MISSING):
        assert (legend == one.style.rgba[:3]).all(axis=-1).sum() > 200


def test_pictures_that_cannot_be_written_are_named(wide_mask: Path, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "t.png"
    with pytest.raises(OutputError, match="absent"):
        write_preview(wide_mask, path, THUMBNAIL_PX)
    with pytest.raises(OutputError, match="absent"):
        write_comparison(HalfCloudy(), wide_mask, wide_mask, path)
