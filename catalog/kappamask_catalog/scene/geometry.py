"""Where the scene lies, when it is seen, and where the sun and the sensor stand.

Sun angles follow from date, time and place, view angles are chosen; both are written to the
product and both move the simulated shadows.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

EPSG = 32618
UTM_ZONE = "18N"
MGRS_TILE = "18SVG"
"""The tile of the Sentinel-2 grid in which the surface really lies."""
TILE_CORNER_XY = (399960, 4200000)
"""Upper-left corner of tile 18SVG, metres in EPSG:32618. Source: Sentinel-2 tiling grid."""
TILE_PX = 10980
"""Pixels of a whole tile at 10 m."""
SURFACE_CORNER_XY = (435780, 4179420)
"""Upper-left corner of the embedded surface, where the 10, 20 and 60 m grids meet."""
CENTRE_LAT_LON = (37.71, -75.66)
"""Middle of the embedded surface, degrees."""

RELATIVE_ORBIT = 97
# One pass of each spacecraft over relative orbit 97 and its absolute orbit number, from the
# numbering of published products (S2A orbit 41826 is relative orbit 73 on 2023-06-25, S2B orbit
# 30715 is relative orbit 87 on 2023-01-22; 143 orbits take 10 days).
_PASSES = {"S2A": (date(2023, 6, 27), 41850), "S2B": (date(2023, 6, 22), 32870)}
_ORBITS_PER_DAY = 14.3

_DATATAKE_START = time(15, 59, 1, 24000, tzinfo=UTC)
_SECONDS_TO_DATASTRIP = 391
_SECONDS_TO_TILE = 461


@dataclass(frozen=True)
class Direction:
    """Where something stands in the sky of the scene."""

    zenith_deg: float
    """Angle from the vertical."""
    azimuth_deg: float
    """From the scene towards the object, clockwise from north."""

    def ground_shift_m(self, height_m: float) -> tuple[float, float]:
        """East and north metres from the foot of a point at `height_m` to where the line from
        the object through that point meets the ground.
        """
        length = height_m * math.tan(math.radians(self.zenith_deg))
        azimuth = math.radians(self.azimuth_deg)
        return -length * math.sin(azimuth), -length * math.cos(azimuth)


VIEW = Direction(zenith_deg=5.2, azimuth_deg=104.0)
"""The sensor: the place lies in the western half of the swath of a descending pass."""


@dataclass(frozen=True)
class Acquisition:
    """One pass over the scene."""

    day: date

    @property
    def spacecraft(self) -> str:
        """`S2A` or `S2B`: which of the two passes nearest to that day in its 10-day cycle."""
        phase = (self.day - _PASSES["S2A"][0]).days % 10
        return "S2B" if 3 <= phase <= 7 else "S2A"

    @property
    def absolute_orbit(self) -> int:
        """Orbit number of the spacecraft."""
        day, orbit = _PASSES[self.spacecraft]
        return orbit + round((self.day - day).days * _ORBITS_PER_DAY)

    @property
    def datatake_start(self) -> datetime:
        """Start of the datatake, UTC; the time in the product's name."""
        return datetime.combine(self.day, _DATATAKE_START)

    @property
    def datastrip_start(self) -> datetime:
        """Start of the datastrip, UTC; the time in the granule's name."""
        return self.datatake_start + timedelta(seconds=_SECONDS_TO_DATASTRIP)

    @property
    def sensing_time(self) -> datetime:
        """When the tile was seen, UTC."""
        return self.datatake_start + timedelta(seconds=_SECONDS_TO_TILE)

    @property
    def generation_time(self) -> datetime:
        """When a ground segment would have made the product, UTC."""
        return self.datatake_start.replace(hour=19, minute=30, second=15, microsecond=0)

    @property
    def sun(self) -> Direction:
        """The sun over the middle of the surface at the sensing time."""
        return sun_direction(self.sensing_time, *CENTRE_LAT_LON)

    @property
    def sun_distance_factor(self) -> float:
        """`U` of the metadata: inverse square of the Earth-Sun distance in astronomical units.

        Source: Sentinel-2 Level-1C algorithm, U = 1 / (1 - 0.01673 cos(0.0172 (t - 2)))^2 with t
        the day of the year.
        """
        day_of_year = self.day.timetuple().tm_yday
        return 1.0 / (1.0 - 0.01673 * math.cos(0.0172 * (day_of_year - 2))) ** 2


def sun_direction(moment: datetime, latitude_deg: float, longitude_deg: float) -> Direction:
    """Where the sun stands.

    The Astronomical Almanac's low-precision formulas, good to about 0.01 degrees from 1950 to
    2050 (Michalsky 1988, Solar Energy 40, 227-235).

    Args:
        moment: time with a time zone.
        latitude_deg: north positive.
        longitude_deg: east positive.
    """
    days = (moment - datetime(2000, 1, 1, 12, tzinfo=UTC)).total_seconds() / 86400.0
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360)
    longitude = math.radians(
        (280.460 + 0.9856474 * days + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly))
        % 360
    )
    obliquity = math.radians(23.439 - 0.0000004 * days)
    right_ascension = math.atan2(math.cos(obliquity) * math.sin(longitude), math.cos(longitude))
    declination = math.asin(math.sin(obliquity) * math.sin(longitude))
    sidereal_deg = (280.46062 + 360.98564737 * days + longitude_deg) % 360
    hour_angle = math.radians(sidereal_deg) - right_ascension
    latitude = math.radians(latitude_deg)
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(
        declination
    ) * math.cos(hour_angle)
    east = -math.cos(declination) * math.sin(hour_angle)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(
        declination
    ) * math.cos(hour_angle)
    return Direction(
        zenith_deg=math.degrees(math.acos(max(-1.0, min(1.0, up)))),
        azimuth_deg=math.degrees(math.atan2(east, north)) % 360,
    )


def shadow_shift_px(sun: Direction, view: Direction, height_m: float) -> tuple[int, int]:
    """Rows and columns (10 m) from where a cloud is seen to where its shadow is seen.

    The sensor sees a cloud displaced away from itself, the sun throws the shadow away from the
    sun; the shadow lies on the ground and is not displaced.
    """
    sun_east, sun_north = sun.ground_shift_m(height_m)
    view_east, view_north = view.ground_shift_m(height_m)
    return round(-(sun_north - view_north) / 10), round((sun_east - view_east) / 10)
