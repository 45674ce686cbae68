"""Byte ranges and validators of HTTP (RFC 9110, sections 13 and 14)."""

import re
from dataclasses import dataclass

from kappamask_catalog.stac_api.errors import RangeNotSatisfiableError

_RANGE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE | re.ASCII)
_ENTITY_TAG = re.compile(r"(?:W/)?(\"[^\"]*\")")
_MAX_DIGITS = 18


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` to before `stop`."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        """The header that says which part of how many bytes this is."""
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that is asked for of a file of `size` bytes; `None` for the whole file.

    Several ranges, other units and what cannot be understood mean the whole file, as RFC 9110
    allows.

    Raises:
        RangeNotSatisfiableError: no byte of it is in the file.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None:
        return None
    first, last = match.groups()
    if (not first and not last) or max(len(first), len(last)) > _MAX_DIGITS:
        return None
    if first and last and int(last) < int(first):
        return None
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:
        start, stop = max(size - int(last), 0), size
    if start >= stop:
        raise RangeNotSatisfiableError(
            f"the file has {size} bytes (got {header})", {"Content-Range": f"bytes */{size}"}
        )
    return ByteRange(start, stop)


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the copy of who asks is this version: `etag` with its quotes, weak comparison."""
    if not if_none_match:
        return False
    return if_none_match.strip() == "*" or etag in _ENTITY_TAG.findall(if_none_match)


def is_range_wanted(if_range: str | None, etag: str) -> bool:
    """Whether a range is to be answered: strong comparison; of dates we know none."""
    return if_range is None or if_range.strip() == etag
