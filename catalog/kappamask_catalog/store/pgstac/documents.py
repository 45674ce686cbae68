"""Collections and items as pgstac takes them.

What pgstac would refuse without a word on which item it was, is refused here.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kappamask_catalog.store.base import Document
from kappamask_catalog.store.values import parse_geometry, parse_time
from kappamask_udf.errors import InvalidDocumentError

TIMES = ("datetime", "start_datetime", "end_datetime")


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
        _check_times(item_id, item.get("properties"))
        by_id[item_id] = {**item, "collection": collection_id}
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
    if geometry is None:
        raise InvalidDocumentError(f"item {item_id} has no geometry; masks have a footprint")
    try:
        parse_geometry(geometry)
    except ValueError as error:
        raise InvalidDocumentError(f"geometry of item {item_id}: {error}") from error


def _check_times(item_id: str, properties: object) -> None:
    if not isinstance(properties, Mapping):
        raise InvalidDocumentError(f"item {item_id} has no properties; they say its datetime")
    found = {name: _check_time(item_id, name, properties.get(name)) for name in TIMES}
    time, start, end = found.values()
    if start is not None and end is not None:
        if start > end:
            raise InvalidDocumentError(f"item {item_id}: start_datetime is after end_datetime")
    elif time is None:
        raise InvalidDocumentError(
            f"item {item_id} has no time; set datetime, or start_datetime and end_datetime"
        )


def _check_time(item_id: str, name: str, text: object) -> datetime | None:
    time = parse_time(text)
    if time is None and text is not None:
        raise InvalidDocumentError(
            f"{name} of item {item_id} is no time such as 2024-03-10T10:00:21Z: {text!r}"
        )
    return time
