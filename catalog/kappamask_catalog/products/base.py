"""What a collection of products gives, whatever is behind it, and what is asked of it."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

import pystac
import shapely
from pystac.errors import STACError, STACTypeError
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.products.config import SourceConfig
from kappamask_udf.errors import SourceError
from kappamask_udf.pixels import Level

Bbox = tuple[float, float, float, float]
"""West, south, east, north in degrees; west > east where it crosses the antimeridian."""
Interval = tuple[datetime | None, datetime | None]
"""Aware times, both ends inside; `None` for an open end."""

_GRID_CODE = re.compile(r"(?:MGRS-)?(\d{1,2}[A-Z]{3})")


@dataclass(frozen=True)
class ProductRef:
    """A product that was found and not opened yet."""

    id: str
    """Of the STAC item; name of the product in a folder."""
    location: str
    """What `kappamask_catalog.sources.open_product` takes: a path, or the URL of the item."""
    datetime: datetime | None
    """Acquisition, UTC."""
    level: Level
    item: pystac.Item | None = field(default=None, compare=False, repr=False)
    """The STAC item with absolute hrefs, where there is one before the product is opened."""
    tile: str | None = None
    """MGRS tile such as `32TNN`, where it is told."""


class ProductCollection(Protocol):
    """A collection of products. Every method raises `SourceError` where it cannot be read."""

    @property
    def config(self) -> SourceConfig:
        """What it was opened with."""
        ...

    def search(
        self, bbox: Bbox | None = None, interval: Interval | None = None, limit: int | None = None
    ) -> Iterator[ProductRef]:
        """Products, found while they are taken.

        Args:
            bbox: west, south, east, north in degrees; west > east across the antimeridian.
            interval: aware times, both ends inside, `None` for an open end.
            limit: most products.
        """
        ...


def check_query(bbox: Bbox | None, interval: Interval | None, limit: int | None) -> None:
    """Raises `SourceError` for what no collection can be asked."""
    if bbox is not None:
        # Callers may come from outside with other numbers of numbers than the type says.
        numbers: tuple[float, ...] = tuple(bbox)
        if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
            raise SourceError(f"bbox must be west, south, east, north, got {list(numbers)}")
        west, south, east, north = numbers
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
            raise SourceError(
                f"bbox must be within 180 and 90 degrees, south before north, got {list(numbers)}"
            )
    if interval is not None:
        start, end = interval
        if any(time is not None and time.tzinfo is None for time in interval):
            raise SourceError("times of an interval must have a time zone, such as UTC")
        if start is not None and end is not None and start > end:
            raise SourceError(f"the interval ends before it begins: {start} > {end}")
    if limit is not None and limit < 1:
        raise SourceError(f"limit must be at least 1, got {limit}")


def is_within(time: datetime | None, interval: Interval | None) -> bool:
    """Whether a time is in an interval. One that is not told is in none but the whole."""
    if interval is None or interval == (None, None):
        return True
    start, end = interval
    if time is None:
        return False
    return (start is None or start <= time) and (end is None or time <= end)


def meets(geometry: BaseGeometry | None, bbox: Bbox | None) -> bool:
    """Whether a geometry in degrees meets a bbox; one that is not told meets everything."""
    if bbox is None or geometry is None or geometry.is_empty:
        return True
    west, south, east, north = bbox
    ranges = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    # Longitudes may go on beyond 180 degrees.
    return any(
        geometry.intersects(shapely.box(low + turn, south, high + turn, north))
        for low, high in ranges
        for turn in (-360, 0, 360)
    )


def parse_item(document: Mapping[str, Any], href: str, config: SourceConfig) -> pystac.Item:
    """A STAC item from JSON, with absolute hrefs.

    Raises:
        SourceError: it is none.
    """
    kind = document.get("type")
    if kind != "Feature" or not isinstance(document.get("assets"), Mapping):
        raise SourceError(
            f"source {config.id}: {public_url(href)} is {describe(document)}, a STAC item was "
            "expected"
        )
    try:
        item = pystac.Item.from_dict(dict(document), href=href, migrate=True)
        item.make_asset_hrefs_absolute()
    # pystac raises what happens to be raised where a field has the wrong type.
    except (
        STACError, STACTypeError, KeyError, ValueError, TypeError, AttributeError,
    ) as error:  # fmt: skip
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise SourceError(
            f"source {config.id}: {public_url(href)} is no valid STAC item ({reason})"
        ) from error
    return item


def item_ref(item: pystac.Item, location: str, config: SourceConfig) -> ProductRef:
    """The reference of an item."""
    properties = item.properties
    told = properties.get("grid:code") or properties.get("s2:mgrs_tile") or ""
    match = _GRID_CODE.fullmatch(str(told))
    return ProductRef(
        id=item.id,
        location=location,
        datetime=_item_time(item),
        level=config.level,
        item=item,
        tile=None if match is None else match[1].zfill(5),
    )


def _item_time(item: pystac.Item) -> datetime | None:
    time = item.datetime or item.common_metadata.start_datetime
    if time is None:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def item_meets(item: pystac.Item, bbox: Bbox | None, config: SourceConfig) -> bool:
    """`meets` for an item's geometry, or its bbox where it has none."""
    if bbox is None:
        return True
    try:
        if item.geometry is not None:
            return meets(shape(item.geometry), bbox)
        return meets(None if item.bbox is None else _box(item.bbox), bbox)
    except (shapely.errors.ShapelyError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(
            f"source {config.id}: the geometry of item {item.id} cannot be understood ({error})"
        ) from error


def _box(bbox: Sequence[float]) -> BaseGeometry:
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    return shapely.box(west, south, east + 360 if east < west else east, north)


def describe(document: object) -> str:
    """What a JSON document seems to be, for messages."""
    if not isinstance(document, Mapping):
        return f"a JSON {type(document).__name__}"
    kind = document.get("type")
    names = {"Catalog": "a Catalog", "Collection": "a Collection", "Feature": "an item"}
    if kind == "FeatureCollection":
        return "a FeatureCollection"
    return names.get(str(kind), "JSON of another kind")


def public_url(url: str) -> str:
    """The address without user, password and query, which may hold secrets."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))
