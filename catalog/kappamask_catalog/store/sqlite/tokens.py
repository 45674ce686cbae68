"""Tokens of pages: where the page before ended, bound to the query they belong to."""

import base64
import binascii
import hashlib
import json
from dataclasses import replace

import orjson

from kappamask_catalog.store.base import ItemQuery
from kappamask_catalog.store.cql.sql import Value
from kappamask_udf.errors import InvalidQueryError

_DIGEST_BYTES = 12


def write_token(query: ItemQuery, position: tuple[Value, ...]) -> str:
    """A token for the page behind an item.

    Args:
        query: the search; its limit may be another one on the next page.
        position: what the item is sorted by.
    """
    payload = orjson.dumps(position)
    return base64.urlsafe_b64encode(_digest(query, payload) + payload).decode().rstrip("=")


def read_token(query: ItemQuery, n_values: int) -> tuple[Value, ...]:
    """The position in a query's token.

    Raises:
        InvalidQueryError: it is not one that was given for this query.
    """
    text = query.token or ""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest == _digest(query, payload):
            values = orjson.loads(payload)
            if len(values) == n_values:
                return tuple(values)
    except (binascii.Error, ValueError):
        pass  # Not ASCII, not base64, or not JSON: garbled, as is a wrong digest.
    raise InvalidQueryError(
        "the token of the page is not one of this search; begin again with the first page"
    )


def _digest(query: ItemQuery, payload: bytes) -> bytes:
    """Tells a garbled token, or another query's. It is no secret: a made-up position could only
    skip items that the caller can see anyway.
    """
    same = replace(query, token=None, limit=0)
    content = json.dumps(vars(same), sort_keys=True, default=str)
    return hashlib.sha256(content.encode() + payload).digest()[:_DIGEST_BYTES]
