"""Times and geometries as documents and queries write them, for every store."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import shapely
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_GEOMETRY_TYPES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
_NOISE = re.compile(r"^\w+Exception: |Error parsing JSON: |\[json\.exception[^]]*\] |'(?=$|\[)")
"""What GEOS says around the reason."""

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees, west <= east."""


def parse_time(text: object) -> datetime | None:
    """A time of RFC 3339 as an aware time, `None` if it is none."""
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError:
        return None


def parse_date(text: object) -> datetime | None:
    """A date as its first moment in UTC, `None` if it is none."""
    if not isinstance(text, str) or not _DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def to_microseconds(time: datetime) -> int:
    """Microseconds since 1970 of an aware time; whole numbers compare without rounding."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The aware time of microseconds since 1970."""
    return _EPOCH + microseconds * _MICROSECOND


def parse_geometry(document: object) -> BaseGeometry:
    """A GeoJSON geometry.

    Raises:
        ValueError: it is none, or has no coordinates; the message says what is wrong.
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"a GeoJSON geometry is an object, found {_shown(document)}")
    if document.get("type") not in _GEOMETRY_TYPES:
        raise ValueError(f"no type of a GeoJSON geometry: {_shown(document.get('type'))}")
    try:
        geometry: BaseGeometry = shapely.from_geojson(orjson.dumps(dict(document)))
    except (ShapelyError, TypeError) as error:
        reason = _NOISE.sub("", " ".join(str(error).split()))
        raise ValueError(f"coordinates of the {document['type']} are wrong: {reason}") from error
    if geometry is None or geometry.is_empty:
        raise ValueError(f"the {document['type']} has no coordinates")
    return geometry


def split_bbox(bbox: object) -> tuple[Box, ...]:
    """The box of a query, or two across the antimeridian.

    Args:
        bbox: west, south, east, north in degrees, or with heights, which do not count. It crosses
            the antimeridian if west > east, or if it reaches beyond 180 degrees as maps write it.

    Raises:
        ValueError: it is no box; the message says what is wrong.
    """
    numbers = list(bbox) if isinstance(bbox, list | tuple) else []
    if len(numbers) not in (4, 6) or not all(_is_finite(one) for one in numbers):
        raise ValueError(f"a bbox has 4 or 6 numbers, found {_shown(bbox)}")
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    west, south, east, north = (float(one) for one in numbers)
    if south > north:
        raise ValueError(f"the bbox has its south ({south:g}) above its north ({north:g})")
    if not -180 <= min(west, east) <= max(west, east) <= 180:
        west, east = _wrapped(west, east)
    if west <= east:
        return ((west, south, east, north),)
    return ((west, south, 180.0, north), (-180.0, south, east, north))


def _wrapped(west: float, east: float) -> tuple[float, float]:
    """The same meridians within 180 degrees."""
    if east - west >= 360:
        return -180.0, 180.0
    return (west + 180) % 360 - 180, (east + 180) % 360 - 180


def box_geometry(box: Box) -> BaseGeometry:
    """A box as a polygon; a line or a point where it has no width or height."""
    west, south, east, north = box
    if west == east and south == north:
        return shapely.Point(west, south)
    if west == east or south == north:
        return shapely.LineString([(west, south), (east, north)])
    return shapely.box(west, south, east, north)


def split_boxes(geometry: BaseGeometry) -> tuple[Box, ...]:
    """The box around a geometry, or one on each side if it was cut at the antimeridian."""
    west, south, east, north = geometry.bounds
    parts = shapely.get_parts(geometry)
    if east - west > 180 and len(parts) > 1:
        is_east = shapely.bounds(parts)[:, 0] >= 0
        sides = [parts[is_east], parts[~is_east]]
        boxes = tuple(_box_around(side) for side in sides if len(side))
        # Only if nothing in between is lost, else it is just a wide geometry.
        if all(box[2] - box[0] <= 180 for box in boxes):
            return boxes
    return ((west, south, east, north),)


def _box_around(parts: Any) -> Box:
    west, south, east, north = (float(value) for value in shapely.total_bounds(parts))
    return west, south, east, north


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
