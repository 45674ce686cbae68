"""Which products `kappamask publish` is given: named ones, or those of a source."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from kappamask_catalog.products import (
    ProductRef,
    SourceConfig,
    find_source,
    load_sources,
    open_collection,
    open_ref,
    watch_folder,
)
from kappamask_catalog.publishing.publisher import Candidate
from kappamask_catalog.sources import open_product
from kappamask_catalog.sources.naming import parse_product_name, product_name
from kappamask_udf.errors import InvalidQueryError, SourceError

Bbox = tuple[float, float, float, float]
Interval = tuple[datetime | None, datetime | None]
WATCH_SECONDS = 5.0
"""Between two looks into a watched folder."""
_POLL_S = 0.2


@dataclass(frozen=True)
class SourceChoice:
    """What the user asked for."""

    products: tuple[str, ...]
    source: str | None = None
    bbox: str | None = None
    interval: str | None = None
    limit: int | None = None
    is_watched: bool = False


def find_candidates(
    choice: SourceChoice, data_folder: Path, stop: threading.Event
) -> Iterator[Candidate | None]:
    """The products, one after the other; `None` where a watched folder has no new one yet.

    Raises:
        SourceError: neither products nor a source, or both; or the source cannot be searched.
        InvalidQueryError: box or time cannot be read.
    """
    if bool(choice.products) == (choice.source is not None):
        raise SourceError("give products, or a source with --source, and not both")
    if choice.source is None:
        _refuse_filters(choice)
        return iter([_named(one) for one in choice.products])
    config = find_source(choice.source, load_sources(data_folder))
    if choice.is_watched:
        return _watched(config, stop)
    bbox = None if choice.bbox is None else parse_bbox(choice.bbox)
    interval = None if choice.interval is None else parse_interval(choice.interval)
    found = open_collection(config).search(bbox, interval, choice.limit)
    return (_found(ref, config) for ref in found)


def _refuse_filters(choice: SourceChoice) -> None:
    given = {
        "--bbox": choice.bbox, "--datetime": choice.interval, "--limit": choice.limit,
        "--watch": choice.is_watched or None,
    }  # fmt: skip
    names = [name for name, value in given.items() if value is not None]
    if names:
        raise SourceError(f"{', '.join(names)} choose among the products of a --source only")


def _named(location: str) -> Candidate:
    name = parse_product_name(location)
    return Candidate(location, partial(open_product, location), name.text if name else None)


def _found(ref: ProductRef, config: SourceConfig) -> Candidate:
    if ref.item is not None:
        name = product_name(ref.item)
    else:
        told = parse_product_name(ref.id) or parse_product_name(ref.location)
        name = ref.id if told is None else told.text
    return Candidate(ref.location, partial(open_ref, ref, config), name)


def _watched(config: SourceConfig, stop: threading.Event) -> Iterator[Candidate | None]:
    """New products of a folder, looked for in a thread, so that others are published meanwhile."""
    found: SimpleQueue[ProductRef | BaseException] = SimpleQueue()

    def look() -> None:
        try:
            for ref in watch_folder(config, WATCH_SECONDS, stop):
                found.put(ref)
        except BaseException as error:
            found.put(error)

    threading.Thread(target=look, name="watch", daemon=True).start()
    while not stop.is_set():
        try:
            one = found.get(timeout=_POLL_S)
        except Empty:
            yield None
            continue
        if isinstance(one, BaseException):
            raise one
        yield _found(one, config)


def parse_bbox(text: str) -> Bbox:
    """West, south, east, north in degrees from four numbers with commas between.

    Raises:
        InvalidQueryError: it is no such box.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
        west, south, east, north = numbers
    except ValueError:
        raise InvalidQueryError(
            f"a box is west,south,east,north in degrees, such as 24.5,58.1,25.5,58.6 (got {text!r})"
        ) from None
    if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise InvalidQueryError(
            f"a box has longitudes from -180 to 180, latitudes from -90 to 90 and south <= north "
            f"(got {text})"
        )
    return west, south, east, north


def parse_interval(text: str) -> Interval:
    """A time, a day, or two of them with a slash between, `..` for an open end.

    Raises:
        InvalidQueryError: it is none of these.
    """
    parts = text.split("/")
    try:
        if len(parts) == 1:
            return _read_time(parts[0], is_end=False), _read_time(parts[0], is_end=True)
        start, end = (
            None if part in ("", "..") else _read_time(part, is_end)
            for part, is_end in zip(parts, (False, True), strict=True)
        )
    except ValueError:
        raise InvalidQueryError(
            "a time is a day, a time or two of them as START/END, such as 2026-06-01/2026-06-30 "
            f"(got {text!r})"
        ) from None
    if start is not None and end is not None and start > end:
        raise InvalidQueryError(f"the time begins after it ends: {text}")
    return start, end


def _read_time(text: str, is_end: bool) -> datetime:
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    # A day without a time means all of it.
    is_day = len(text) == len("2026-06-01")
    return when + timedelta(days=1, microseconds=-1) if is_day and is_end else when
