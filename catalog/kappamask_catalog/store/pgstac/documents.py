"""Collections and items as pgstac takes them.

What pgstac would refuse without a word on which item it was, is refused here.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import shapely

from kappamask_catalog.store.base import Document
from kappamask_udf.errors import InvalidDocumentError

TIMES = ("start_datetime", "end_datetime")


def dump(document: Any) -> str:
    """JSON that PostgreSQL reads; numbers that JSON does not have are no silent `null`.

    Raises:
        InvalidDocumentError: something in it is not JSON.
    """
    try:
        return json.dumps(document, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"the document is not JSON: {error}") from error


def check_collection(collection: Mapping[str, Any]) -> str:
    """Its id. Raises `InvalidDocumentError` if there is none."""
    return _check_id(collection, "collection")


def check_items(collection_id: str, items: Sequence[Mapping[str, Any]]) -> list[Document]:
    """The items with their collection set; of several with one id the last.

    Raises:
        InvalidDocumentError: one has no id, geometry or time.
    """
    by_id: dict[str, Document] = {}
    for item in items:
        item_id = _check_id(item, "item")
        _check_geometry(item_id, item.get("geometry"))
        _check_time(item_id, item.get("properties"))
        by_id[item_id] = {**item, "type": "Feature", "collection": collection_id}
    return list(by_id.values())


def property_names(items: Sequence[Document]) -> list[str]:
    """Names of properties that any of the items has, in one order for all writers."""
    return sorted({name for item in items for name in item["properties"]})


def _check_id(document: Mapping[str, Any], kind: str) -> str:
    found = document.get("id")
    if not isinstance(found, str) or not found.strip():
        raise InvalidDocumentError(f"the {kind} has no id: expected a text, found {found!r}")
    return found


def _check_geometry(item_id: str, geometry: object) -> None:
    if not isinstance(geometry, Mapping):
        raise InvalidDocumentError(f"item {item_id} has no geometry: found {geometry!r}")
    try:
        shape = shapely.from_geojson(json.dumps(geometry, allow_nan=False))
    except (TypeError, ValueError, shapely.errors.GEOSException) as error:
        raise InvalidDocumentError(f"item {item_id}: geometry is no GeoJSON: {error}") from error
    if shape is None or shape.is_empty:
        raise InvalidDocumentError(f"item {item_id}: geometry is empty")


def _check_time(item_id: str, properties: object) -> None:
    if not isinstance(properties, Mapping):
        raise InvalidDocumentError(f"item {item_id} has no properties: found {properties!r}")
    if all(properties.get(name) is not None for name in TIMES):
        start, end = (_parse_time(item_id, name, properties[name]) for name in TIMES)
        if start > end:
            raise InvalidDocumentError(f"item {item_id}: start_datetime is after end_datetime")
    elif properties.get("datetime") is not None:
        _parse_time(item_id, "datetime", properties["datetime"])
    else:
        raise InvalidDocumentError(
            f"item {item_id} has no time: it needs datetime, or start_datetime and end_datetime"
        )


def _parse_time(item_id: str, name: str, text: object) -> datetime:
    try:
        time = datetime.fromisoformat(str(text).upper())
    except ValueError:
        time = None
    if not isinstance(text, str) or time is None or time.tzinfo is None:
        raise InvalidDocumentError(
            f"item {item_id}: {name} is no time in RFC 3339, such as 2024-06-01T10:15:00Z:"
            f" found {text!r}"
        )
    return time
