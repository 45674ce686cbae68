"""Search parameters to values, for GET and POST alike; what cannot be understood is said why."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import shapely
from shapely.geometry import shape

from kappamask_catalog.store.base import DEFAULT_LIMIT, MAX_LIMIT, SortKey
from kappamask_udf.errors import InvalidQueryError

BBox = tuple[float, float, float, float]
Interval = tuple[datetime | None, datetime | None]

GEOMETRY_TYPES = (
    "Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon",
    "GeometryCollection",
)  # fmt: skip
MAX_DEPTH = 64
"""Levels of a filter or geometry; no sensible one has more, and parsers recurse."""
MAX_LONGITUDE = 540
"""Maps that can be moved sideways write boxes once around the Earth further."""
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII
)
_OPEN_ENDS = ("", "..")
_SHOWN_CHARACTERS = 100


def parse_limit(value: Any) -> int:
    """Items per page, clamped to `MAX_LIMIT`.

    Raises:
        InvalidQueryError: it is no whole number above 0.
    """
    if value is None:
        return DEFAULT_LIMIT
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d{1,30}", value.strip(), re.ASCII):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidQueryError(f"limit must be a whole number of 1 or more (got {shown(value)})")
    return min(value, MAX_LIMIT)


def parse_names(value: Any, parameter: str) -> tuple[str, ...] | None:
    """`ids` or `collections`: a list, or text with commas; `None` if there are none.

    Raises:
        InvalidQueryError: it is no list of texts.
    """
    if not value:
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidQueryError(f"{parameter} must be a list of texts (got {shown(value)})")
    return tuple(dict.fromkeys(name for name in names if name)) or None


def parse_bbox(value: Any) -> BBox | None:
    """West, south, east, north in degrees; heights of 6 numbers are left out.

    West is greater than east where the box crosses the antimeridian. `None` if there is none.

    Raises:
        InvalidQueryError: they are not 4 or 6 numbers, or no place on Earth.
    """
    if value is None or value in ("", []):
        return None
    numbers = _numbers(value)
    if len(numbers) not in (4, 6):
        raise InvalidQueryError(
            f"bbox must have 4 numbers, or 6 with heights (got {len(numbers)}): west, south, "
            "east, north"
        )
    half = len(numbers) // 2
    west, south, east, north = numbers[0], numbers[1], numbers[half], numbers[half + 1]
    if len(numbers) == 6 and numbers[2] > numbers[5]:
        raise InvalidQueryError(f"bbox must go from low to high (got {numbers[2]} to {numbers[5]})")
    if not (-MAX_LONGITUDE <= west <= MAX_LONGITUDE and -MAX_LONGITUDE <= east <= MAX_LONGITUDE):
        raise InvalidQueryError(f"bbox must have longitudes of -180 to 180 (got {west}, {east})")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        west, east = _wrapped(west, east)
    if not -90 <= south <= north <= 90:
        raise InvalidQueryError(
            f"bbox must have latitudes of -90 to 90, south before north (got {south}, {north})"
        )
    return west, south, east, north


def _wrapped(west: float, east: float) -> tuple[float, float]:
    if east - west >= 360:
        return -180.0, 180.0
    return (west + 180) % 360 - 180, (east + 180) % 360 - 180


def _numbers(value: Any) -> list[float]:
    parts = value.split(",") if isinstance(value, str) else value
    try:
        if not isinstance(parts, list) or any(isinstance(part, bool) for part in parts):
            raise TypeError
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidQueryError(
            f"bbox must be numbers: west, south, east, north (got {shown(value)})"
        ) from error
    if not all(math.isfinite(number) for number in numbers):
        raise InvalidQueryError(f"bbox must be finite numbers (got {shown(value)})")
    return numbers


def parse_interval(value: Any) -> Interval | None:
    """A time or an interval of RFC 3339, open at `..` or nothing; `None` if there is none.

    Raises:
        InvalidQueryError: it is neither.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidQueryError(f"datetime must be a text (got {shown(value)})")
    ends = value.strip().split("/")
    if len(ends) == 1:
        moment = _moment(ends[0], value)
        return moment, moment
    if len(ends) != 2:
        raise InvalidQueryError(f"datetime must have one / at most (got {shown(value)})")
    start, end = (None if text in _OPEN_ENDS else _moment(text, value) for text in ends)
    if start is None and end is None:
        raise InvalidQueryError(f"datetime must have an end that is not open (got {shown(value)})")
    if start is not None and end is not None and start > end:
        raise InvalidQueryError(f"datetime must not end before it starts (got {shown(value)})")
    return start, end


def _moment(text: str, value: str) -> datetime:
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError("not RFC 3339")
        date, time, fraction, zone = match.groups()
        # Python keeps microseconds; finer ones are cut.
        exact = f"{date}T{time}.{(fraction or '0')[:6].ljust(6, '0')}{zone.upper()}"
        return datetime.fromisoformat(exact).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidQueryError(
            "datetime must be a time of RFC 3339 or an interval of two, such as "
            f"2024-06-01T00:00:00Z/2024-06-30T23:59:59Z (got {shown(value)})"
        ) from error


def parse_geometry(value: Any) -> Mapping[str, Any] | None:
    """A valid GeoJSON geometry in degrees, flat; `None` if there is none.

    Raises:
        InvalidQueryError: it is none, is empty, or crosses itself.
    """
    if value is None or value == "":
        return None
    geometry = parse_json(value, "intersects") if isinstance(value, str) else value
    if not isinstance(geometry, Mapping) or geometry.get("type") not in GEOMETRY_TYPES:
        kind = geometry.get("type") if isinstance(geometry, Mapping) else geometry
        raise InvalidQueryError(
            f"intersects must be a GeoJSON geometry, one of {', '.join(GEOMETRY_TYPES)} "
            f"(got {shown(kind)})"
        )
    check_depth(geometry, "intersects")
    try:
        parsed = shape(dict(geometry))
        is_finite = bool(np.isfinite(shapely.get_coordinates(parsed)).all())
    except Exception as error:  # shapely raises whatever it stumbles over
        raise InvalidQueryError(
            f"intersects has coordinates that are no {geometry['type']}: {error}"
        ) from error
    if parsed.is_empty or not is_finite:
        raise InvalidQueryError("intersects must have coordinates, all of them finite")
    if not parsed.is_valid:
        raise InvalidQueryError(
            f"intersects is no valid geometry: {shapely.is_valid_reason(parsed)}"
        )
    # Written anew: rings are closed, and there are neither heights nor foreign members.
    plain: Mapping[str, Any] = json.loads(shapely.to_geojson(shapely.force_2d(parsed)))
    return plain


def parse_sort(value: Any) -> tuple[SortKey, ...]:
    """Fields with `+` or `-` before them and commas between, or objects of `field`, `direction`.

    Raises:
        InvalidQueryError: it is neither.
    """
    if not value:
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(_sort_key(part) for part in parts if part != "")


def _sort_key(part: Any) -> SortKey:
    if isinstance(part, str):
        # A plus sign in an address is a space.
        direction, field = ("desc" if part.startswith("-") else "asc"), part.lstrip("+- ")
    elif isinstance(part, Mapping):
        direction, field = part.get("direction", "asc"), part.get("field", "")
    else:
        direction, field = "", ""
    if direction not in ("asc", "desc") or not isinstance(field, str) or not field:
        raise InvalidQueryError(
            "sortby must be fields such as -datetime, or objects with field and direction asc or "
            f"desc (got {shown(part)})"
        )
    return SortKey(field, is_descending=direction == "desc")


def parse_json(text: str, parameter: str) -> Any:
    """JSON in an address.

    Raises:
        InvalidQueryError: it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidQueryError(f"{parameter} must be JSON (got {shown(text)}): {error}") from error


def check_depth(value: Any, parameter: str) -> None:
    """Refuse what is nested so deep that parsers would fail.

    Raises:
        InvalidQueryError: it is.
    """
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level for child in _children(one)]
        if not level:
            return
    raise InvalidQueryError(f"{parameter} must not be nested deeper than {MAX_DEPTH} levels")


def check_text(value: Any, parameter: str) -> None:
    """Refuse texts with halves of characters, which JSON can hold and nothing else can.

    Raises:
        InvalidQueryError: there are some, or it is nested too deep.
    """
    check_depth(value, parameter)
    try:
        orjson.dumps(value)
    except TypeError as error:
        raise InvalidQueryError(f"{parameter} cannot be read: {error}") from error


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from (child for child in value if isinstance(child, Mapping | list | tuple))


def shown(value: Any) -> str:
    """A value in a message: short, and on one line."""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
