import math
from datetime import date, timedelta

import numpy as np
import pytest

from kappamask_catalog.scene.clouds import (
    CLOUD_MIN_THICKNESS,
    SEMI_TRANSPARENT_MIN_THICKNESS,
    SHADOW_MIN_THICKNESS,
    CloudField,
    Thickness,
    weather_of,
)
from kappamask_catalog.scene.demo import DEMO_DATES
from kappamask_catalog.scene.geometry import VIEW, Acquisition
from kappamask_udf.classes import MaskClass
from kappamask_udf.pixels import PixelWindow

WINDOW = PixelWindow(0, 240, 0, 240)


def one_pixel(low: float, high: float, sunward: float) -> Thickness:
    low_plane, high_plane, sun_plane = (
        np.full((1, 1), value, np.float32) for value in (low, high, sunward)
    )
    return Thickness(low_plane, high_plane, sun_plane, np.zeros((1, 1), np.float32))


@pytest.mark.parametrize(
    ("low", "high", "sunward", "expected"),
    [
        (0.0, 0.0, 0.0, MaskClass.CLEAR),
        (0.0, 0.0, SHADOW_MIN_THICKNESS * 0.99, MaskClass.CLEAR),
        (0.0, 0.0, SHADOW_MIN_THICKNESS, MaskClass.CLOUD_SHADOW),
        (SEMI_TRANSPARENT_MIN_THICKNESS * 0.99, 0.0, 0.0, MaskClass.CLEAR),
        (SEMI_TRANSPARENT_MIN_THICKNESS, 0.0, 9.0, MaskClass.SEMI_TRANSPARENT_CLOUD),
        (0.0, CLOUD_MIN_THICKNESS * 0.99, 0.0, MaskClass.SEMI_TRANSPARENT_CLOUD),
        (CLOUD_MIN_THICKNESS / 2, CLOUD_MIN_THICKNESS / 2, 9.0, MaskClass.CLOUD),
    ],
)
def test_classify_thickness_at_threshold_is_the_documented_class(
    low: float, high: float, sunward: float, expected: MaskClass
) -> None:
    assert one_pixel(low, high, sunward).classify() == expected


@pytest.mark.parametrize("day", DEMO_DATES)
def test_low_shadow_lies_where_sun_height_and_view_put_it(day: date) -> None:
    field = CloudField(Acquisition(day), seed=0)
    sun, height = Acquisition(day).sun, field.weather.low_height_m
    east = north = 0.0
    for sign, direction in ((-1, sun), (1, VIEW)):
        length = height * math.tan(math.radians(direction.zenith_deg))
        east += sign * length * math.sin(math.radians(direction.azimuth_deg))
        north += sign * length * math.cos(math.radians(direction.azimuth_deg))
    rows, cols = field.low_shadow_px
    assert (rows, cols) == (round(-north / 10), round(east / 10))
    # the cloud that shades a pixel is seen at the pixel less the displacement
    seen = field.low_thickness(
        PixelWindow(WINDOW.row0 - rows, WINDOW.row1 - rows, WINDOW.col0 - cols, WINDOW.col1 - cols)
    )
    np.testing.assert_array_equal(field.thickness(WINDOW).low_sunward, seen)


@pytest.mark.parametrize("layer", ["low_thickness", "high_thickness"])
def test_thickness_part_of_window_equals_whole(layer: str) -> None:
    field = CloudField(Acquisition(DEMO_DATES[4]), seed=3)
    whole = getattr(field, layer)(WINDOW)
    part = getattr(field, layer)(PixelWindow(101, 150, 7, 200))
    np.testing.assert_array_equal(part, whole[101:150, 7:200])


@pytest.mark.parametrize("layer", ["low_thickness", "high_thickness"])
@pytest.mark.parametrize(("days", "seed"), [(0, 1), (5, 0)])
def test_thickness_other_seed_or_date_gives_other_clouds(layer: str, days: int, seed: int) -> None:
    window = PixelWindow(0, 1020, 0, 1020)
    first = CloudField(Acquisition(DEMO_DATES[0]), 0)
    other = CloudField(Acquisition(DEMO_DATES[0] + timedelta(days=days)), seed)
    assert not np.array_equal(getattr(first, layer)(window), getattr(other, layer)(window))


def test_weather_comes_back_after_five_passes() -> None:
    names = [weather_of(DEMO_DATES[0] + timedelta(days=day)).name for day in range(0, 30, 5)]
    assert len(set(names[:5])) == 5
    assert names[5] == names[0]
