from datetime import UTC, date, datetime, timedelta

import pytest

from kappamask_catalog.scene.demo import DEMO_DATES
from kappamask_catalog.scene.geometry import (
    VIEW,
    Acquisition,
    Direction,
    shadow_shift_px,
    sun_direction,
)

NADIR = Direction(0.0, 0.0)


def test_sun_direction_equals_mean_angle_of_a_real_product() -> None:
    # Mean_Sun_Angle of tile 46RER, 2021-09-08, whose middle is at 27.53 N, 93.55 E
    sun = sun_direction(datetime(2021, 9, 8, 4, 40, 48, tzinfo=UTC), 27.53, 93.55)
    assert sun.zenith_deg == pytest.approx(26.493, abs=0.1)
    assert sun.azimuth_deg == pytest.approx(142.988, abs=0.3)


@pytest.mark.parametrize(
    ("azimuth_deg", "shift"),
    [(180.0, (-100, 0)), (90.0, (0, -100)), (0.0, (100, 0)), (270.0, (0, 100))],
)
def test_shadow_shift_sun_at_45_degrees_is_the_height_away_from_the_sun(
    azimuth_deg: float, shift: tuple[int, int]
) -> None:
    assert shadow_shift_px(Direction(45.0, azimuth_deg), NADIR, 1000.0) == shift


def test_shadow_shift_sensor_in_the_sun_sees_the_cloud_on_its_shadow() -> None:
    assert shadow_shift_px(VIEW, VIEW, 1500.0) == (0, 0)


@pytest.mark.parametrize("day", DEMO_DATES)
def test_acquisition_demo_date_has_an_absolute_orbit_of_relative_orbit_97(day: date) -> None:
    acquisition = Acquisition(day)
    shift = {"S2A": 3, "S2B": -26}[acquisition.spacecraft]
    assert acquisition.absolute_orbit % 143 + shift == 97


def test_acquisition_spacecraft_alternate_every_five_days() -> None:
    crafts = [Acquisition(DEMO_DATES[0] + timedelta(days=5 * n)).spacecraft for n in range(4)]
    assert crafts == ["S2A", "S2B", "S2A", "S2B"]


def test_acquisition_sun_distance_factor_is_smallest_at_aphelion() -> None:
    # The Earth is farthest from the sun on about 4 July, at 1.0167 astronomical units
    factor = Acquisition(date(2026, 7, 4)).sun_distance_factor
    assert factor == pytest.approx(1 / 1.0167**2, abs=1e-3)
