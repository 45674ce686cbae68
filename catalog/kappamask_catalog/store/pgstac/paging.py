"""Orders, and tokens that say where a page ended.

A token holds the values by which the last item of a page was sorted, not its name: pgstac's own
looks the item up and fails when it is gone. What comes behind those values is the next page,
whatever was added or removed meanwhile.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from hashlib import sha256

from kappamask_catalog.store.base import ItemQuery, SortKey
from kappamask_catalog.store.cql.sql import short_name
from kappamask_catalog.store.pgstac.dialect import of_property, quote, render
from kappamask_udf.errors import InvalidQueryError

DEFAULT_SORT = (SortKey("datetime", is_descending=True),)
COLUMNS = {
    "datetime": ("datetime", "timestamptz"),
    "id": ('id COLLATE "C"', "text"),
    "collection": ('collection COLLATE "C"', "text"),
}
"""Columns of pgstac's items. Texts are compared by code point, as no locale of a server does."""
TIEBREAKERS = (SortKey("id"), SortKey("collection"))
RANKS = ("number", "string", "boolean", "array", "object")
MISSING_RANK = 9


@dataclass(frozen=True)
class SortColumn:
    """An SQL expression that is never NULL, and how it is sorted."""

    expression: str
    type: str
    is_descending: bool

    @property
    def order(self) -> str:
        """For ORDER BY. pgstac reads months in turn where this begins with `datetime DESC`."""
        return f"{self.expression} {'DESC' if self.is_descending else 'ASC'}"

    def literal(self, value: str) -> str:
        """A value of the token, quoted."""
        return f"{quote(value)}::{self.type}"


def sort_columns(sort: Sequence[SortKey]) -> list[SortColumn]:
    """What to sort by, ending with id and collection so that no two items are equal.

    Raises:
        InvalidQueryError: a field cannot be sorted by.
    """
    columns: list[SortColumn] = []
    seen: set[str] = set()
    for key in (*(sort or DEFAULT_SORT), *TIEBREAKERS):
        name = short_name(key.field)
        if name in seen:
            continue
        seen.add(name)
        if name in COLUMNS:
            columns.append(SortColumn(*COLUMNS[name], key.is_descending))
        else:
            columns.extend(_property_columns(name, key.is_descending))
    return columns


def order_by(columns: Sequence[SortColumn]) -> str:
    """The text behind ORDER BY."""
    return ", ".join(column.order for column in columns)


def key_values(columns: Sequence[SortColumn]) -> str:
    """SQL for the list of texts that `encode_token` takes."""
    return f"ARRAY[{', '.join(f'({column.expression})::text' for column in columns)}]"


def encode_token(query: ItemQuery, values: Sequence[str]) -> str:
    """A token for the page behind an item with these values; its limit may be another one."""
    text = json.dumps([_digest(query, values), *values], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(query: ItemQuery, columns: Sequence[SortColumn]) -> list[str] | None:
    """The values in a query's token, `None` if it has none.

    Raises:
        InvalidQueryError: it is no token, or that of another search.
    """
    if query.token is None:
        return None
    padded = query.token + "=" * (-len(query.token) % 4)
    try:
        digest, *found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        values = [str(value) for value in found]
        if len(values) == len(columns) and digest == _digest(query, values):
            return values
    except (ValueError, TypeError, RecursionError):
        pass  # not ASCII, not base64, not JSON, or no list
    raise InvalidQueryError("the token of the page is not one of this search; begin again")


def behind(columns: Sequence[SortColumn], values: Sequence[str]) -> str:
    """An SQL condition for the items that come after one with these values."""
    literals = [column.literal(value) for column, value in zip(columns, values, strict=True)]
    alternatives: list[str] = []
    equal: list[str] = []
    for column, literal in zip(columns, literals, strict=True):
        sign = "<" if column.is_descending else ">"
        alternatives.append(" AND ".join([*equal, f"{column.expression} {sign} {literal}"]))
        equal.append(f"{column.expression} = {literal}")
    first, literal = columns[0], literals[0]
    # Said twice so that PostgreSQL can use an index: it does not look into the alternatives.
    bound = f"{first.expression} {'<=' if first.is_descending else '>='} {literal}"
    return f"({bound} AND ({' OR '.join(f'({text})' for text in alternatives)}))"


def _property_columns(name: str, is_descending: bool) -> list[SortColumn]:
    """Numbers by value, then texts, then the rest; items without the property come last."""
    ranks = enumerate(reversed(RANKS) if is_descending else RANKS)
    cases = " ".join(f"WHEN '{rank}' THEN {number}" for number, rank in ranks)
    expressions = {
        "int": f"CASE jsonb_typeof(v) {cases} ELSE {MISSING_RANK} END",
        "numeric": "CASE jsonb_typeof(v) WHEN 'number' THEN v::numeric ELSE 0 END",
        # JSON's null counts as missing.
        "text": "CASE jsonb_typeof(v) WHEN 'number' THEN '' ELSE coalesce(v #>> '{}', '') END",
    }
    rank, number, text = (render(of_property(name, one)) for one in expressions.values())
    return [
        SortColumn(rank, "int", False),
        SortColumn(number, "numeric", is_descending),
        SortColumn(f'{text} COLLATE "C"', "text", is_descending),
    ]


def _digest(query: ItemQuery, values: Sequence[str]) -> str:
    """Tells a garbled token, or that of another search. It is no secret: a token that somebody made
    could only skip items that they can see anyway.
    """
    same = [astuple(replace(query, token=None, limit=0)), values]
    text = json.dumps(same, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:16]
