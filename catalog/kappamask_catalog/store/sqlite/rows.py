"""What the SQLite store keeps of an item: its document and what searches look at."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import shapely
from shapely.errors import ShapelyError

from kappamask_catalog.store.base import Document
from kappamask_catalog.store.cql.sql import Kind, Value
from kappamask_catalog.store.sqlite.fields import KEPT
from kappamask_catalog.store.values import (
    Box,
    parse_geometry,
    parse_time,
    split_boxes,
    to_microseconds,
)
from kappamask_udf.errors import InvalidDocumentError

MICROSECONDS_PER_DAY = 86_400_000_000


@dataclass(frozen=True)
class ItemRow:
    """An item, ready to be written."""

    id: str
    time: int
    """What it is sorted by, microseconds since 1970: `datetime`, else `start_datetime`."""
    start: int
    stop: int
    boxes: tuple[Box, ...]
    """Two across the antimeridian."""
    geometry: bytes
    """Valid, as WKB."""
    kept: tuple[Value, ...]
    """Values of `KEPT` properties."""
    names: str
    """Names of its properties as a JSON array, sorted."""
    properties: str
    document: bytes
    """The item as JSON with `null` for its properties."""


def build_row(item: Mapping[str, Any], collection_id: str) -> ItemRow:
    """An item's row.

    Raises:
        InvalidDocumentError: it has no id, geometry or time that can be stored.
    """
    identifier = document_id(item, "item")
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        raise InvalidDocumentError(f"item {identifier} has no properties; they say its datetime")
    time, start, stop = _times(identifier, properties)
    boxes, geometry = _geometry(identifier, item.get("geometry"))
    document = {**item, "collection": collection_id, "properties": None}
    return ItemRow(
        id=identifier,
        time=time,
        start=start,
        stop=stop,
        boxes=boxes,
        geometry=geometry,
        kept=tuple(_kept(properties.get(name), kind) for name, (_, kind) in KEPT.items()),
        names=to_json(sorted(properties), f"item {identifier}").decode(),
        properties=to_json(dict(properties), f"item {identifier}").decode(),
        document=to_json(document, f"item {identifier}"),
    )


def write_row(connection: sqlite3.Connection, collection_id: str, row: ItemRow) -> None:
    """Put an item in the place of the one that has its id."""
    execute = connection.execute
    execute("DELETE FROM items WHERE collection = ? AND id = ?", (collection_id, row.id))
    execute("INSERT OR IGNORE INTO name_sets (names) VALUES (?)", (row.names,))
    (name_set,) = execute("SELECT key FROM name_sets WHERE names = ?", (row.names,)).fetchone()
    spread = max(row.time - row.start, row.stop - row.time)
    # No single box, no columns for it: such items are always compared by their geometry.
    box = row.boxes[0] if len(row.boxes) == 1 else (None,) * 4
    values = (
        collection_id, row.id, row.time, row.start, row.stop, spread or None, *box, name_set,
        *row.kept,
    )  # fmt: skip
    cursor = execute(
        "INSERT INTO items (collection, id, time, start, stop, spread, west, south, east, north, "
        "name_set, cloud_cover, grid_code) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    key = cursor.lastrowid
    execute("INSERT INTO geometries VALUES (?, ?)", (key, row.geometry))
    execute("INSERT INTO documents VALUES (?, ?, ?)", (key, row.properties, row.document))
    days = row.start / MICROSECONDS_PER_DAY, row.stop / MICROSECONDS_PER_DAY
    for number, (west, south, east, north) in enumerate(row.boxes):
        execute(
            "INSERT INTO boxes VALUES (2 * ? + ?, ?, ?, ?, ?, ?, ?)",
            (key, number, west, east, south, north, *days),
        )


def read_document(document: bytes, properties: str) -> Document:
    """The item as it was put."""
    item: Document = orjson.loads(document)
    item["properties"] = orjson.loads(properties)
    return item


def to_json(document: object, name: str) -> bytes:
    """JSON of a document. Raises `InvalidDocumentError` if it cannot be written as JSON."""
    try:
        return orjson.dumps(document)
    except TypeError as error:
        raise InvalidDocumentError(f"{name} cannot be written as JSON: {error}") from error


def document_id(document: Mapping[str, Any], kind: str) -> str:
    """The id of a collection or item. Raises `InvalidDocumentError` if it has none."""
    identifier = document.get("id")
    if not isinstance(identifier, str) or not identifier:
        raise InvalidDocumentError(f"{kind} has no id: a text that is not empty, got {identifier}")
    return identifier


def _kept(value: object, kind: Kind) -> Value:
    if kind is Kind.TEXT:
        return value if isinstance(value, str) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number else None  # type: ignore[arg-type] # it is a number


def _times(identifier: str, properties: Mapping[str, Any]) -> tuple[int, int, int]:
    """Time, start and stop."""
    found = {
        name: _time(identifier, name, properties.get(name))
        for name in ("datetime", "start_datetime", "end_datetime")
    }
    time, start, stop = found.values()
    if start is None or stop is None:
        if time is None:
            raise InvalidDocumentError(
                f"item {identifier} has no time; set datetime, or start_datetime and end_datetime"
            )
        start = stop = time
    if start > stop:
        raise InvalidDocumentError(
            f"item {identifier} ends before it starts: {start.isoformat()} to {stop.isoformat()}"
        )
    return (
        to_microseconds(start if time is None else time),
        to_microseconds(start),
        to_microseconds(stop),
    )


def _time(identifier: str, name: str, text: object) -> datetime | None:
    if text is None:
        return None
    time = parse_time(text)
    if time is None:
        raise InvalidDocumentError(
            f"{name} of item {identifier} is no time such as 2024-03-10T10:00:21Z: {text!r}"
        )
    return time


def _geometry(identifier: str, document: object) -> tuple[tuple[Box, ...], bytes]:
    """Boxes, and the geometry as WKB, made valid so that every comparison can work with it."""
    if document is None:
        raise InvalidDocumentError(f"item {identifier} has no geometry; masks have a footprint")
    try:
        geometry = shapely.force_2d(parse_geometry(document))
        if not geometry.is_valid:
            geometry = shapely.make_valid(geometry)
    except (ValueError, ShapelyError) as error:
        raise InvalidDocumentError(f"geometry of item {identifier}: {error}") from error
    return split_boxes(geometry), shapely.to_wkb(geometry)
