import numpy as np
import pytest

from kappamask_catalog.scene.clouds import Thickness
from kappamask_catalog.scene.ground import read_reflectance
from kappamask_catalog.scene.optics import OPTICS, block_mean, cloud_light, top_of_atmosphere
from kappamask_udf.bands import MSI_BANDS
from kappamask_udf.pixels import PixelWindow

SUN_ZENITH_DEG = 20.0
GROUND = np.array([[0.15]], np.float32)


def seen(
    band: str,
    *,
    low: float = 0.0,
    high: float = 0.0,
    low_sunward: float = 0.0,
    ground: np.ndarray = GROUND,
) -> float:
    planes = [np.full((1, 1), value, np.float32) for value in (low, high, low_sunward, 0.0)]
    light = cloud_light(Thickness(*planes), SUN_ZENITH_DEG)
    return float(top_of_atmosphere(ground, light, band)[0, 0])


@pytest.mark.parametrize("band", list(OPTICS))
def test_top_of_atmosphere_no_cloud_leaves_the_surface(band: str) -> None:
    assert seen(band) == pytest.approx(0.15, abs=1e-6)


def test_low_cloud_stays_dark_in_b10() -> None:
    dark = np.array([[0.002]], np.float32)
    assert seen("B10", low=40.0, ground=dark) < 0.015


def test_cirrus_is_seen_in_b10() -> None:
    dark = np.array([[0.002]], np.float32)
    assert seen("B10", high=2.0, ground=dark) > 0.08


def test_thick_cloud_is_bright_and_nearly_white_from_blue_to_infrared() -> None:
    values = [seen(band, low=40.0) for band in ("B02", "B03", "B04", "B08", "B8A")]
    assert min(values) > 0.6
    assert max(values) - min(values) < 0.12


def test_thick_cloud_is_darker_the_longer_the_short_wave_infrared() -> None:
    assert seen("B08", low=40.0) > seen("B11", low=40.0) + 0.05
    assert seen("B11", low=40.0) > seen("B12", low=40.0) + 0.05


def test_low_cloud_in_b09_lies_between_b10_and_b8a() -> None:
    assert seen("B10", low=40.0) + 0.1 < seen("B09", low=40.0) < seen("B8A", low=40.0) - 0.1


@pytest.mark.parametrize("thickness", [0.5, 2.0, 10.0])
def test_cloud_takes_contrast_from_the_ground_by_its_two_way_transmittance(
    thickness: float,
) -> None:
    bright, dark = np.array([[0.12]], np.float32), np.array([[0.10]], np.float32)
    contrast = seen("B04", low=thickness, ground=bright) - seen("B04", low=thickness, ground=dark)
    reflected = 0.15 * thickness / (2 + 0.15 * thickness)
    # light that goes to and fro between cloud and ground adds a few per cent
    assert contrast == pytest.approx(0.02 * (1 - reflected) ** 2, rel=0.12)


def test_shadow_keeps_more_light_in_blue_than_in_infrared() -> None:
    blue = seen("B02", low_sunward=30.0) / seen("B02")
    infrared = seen("B08", low_sunward=30.0) / seen("B08")
    assert infrared < 0.35
    assert blue > infrared + 0.2


def test_surface_has_no_pixel_darker_than_the_air() -> None:
    for info in MSI_BANDS:
        side = 10200 // info.resolution_m
        surface = read_reflectance(info.name, PixelWindow(0, side, 0, side))
        assert surface.min() >= OPTICS[info.name].path, info.name


def test_surface_beyond_the_crop_is_mirrored() -> None:
    inside = read_reflectance("B05", PixelWindow(0, 20, 490, 510))
    np.testing.assert_array_equal(
        read_reflectance("B05", PixelWindow(-20, 0, 510, 530)), inside[::-1, ::-1]
    )


def test_block_mean_part_is_bit_identical_to_whole() -> None:
    plane = np.random.default_rng(1).random((60, 60), np.float32)
    np.testing.assert_array_equal(
        block_mean(plane[12:24, 6:60], 6), block_mean(plane, 6)[2:4, 1:10]
    )
