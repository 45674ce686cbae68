"""The order of items in a search, and what comes behind a position in it."""

from dataclasses import dataclass

from kappamask_catalog.store.base import ItemQuery, SortKey
from kappamask_catalog.store.cql.sql import Kind, Sql, Value, core_kind, fill
from kappamask_catalog.store.sqlite.fields import field
from kappamask_udf.errors import InvalidQueryError

_NEWEST_FIRST = (SortKey("datetime", is_descending=True),)
_TIES = (SortKey("id"), SortKey("collection"))
"""Decide between equals: together they are one item only."""


@dataclass(frozen=True)
class _Key:
    value: Sql
    is_descending: bool
    can_be_missing: bool


class Ordering:
    """How a query's items are sorted; what lacks a value comes last, whichever way.

    Raises:
        InvalidQueryError: a field cannot be sorted by.
    """

    def __init__(self, query: ItemQuery) -> None:
        self._keys: list[_Key] = []
        seen: set[str] = set()
        for key in (*(query.sort or _NEWEST_FIRST), *_TIES):
            name = key.field.removeprefix("properties.")
            if name not in seen:
                seen.add(name)
                value = field(key.field, Kind.ANY)
                missing = core_kind(key.field) is None
                self._keys.append(_Key(value, key.is_descending, missing))

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def columns(self) -> Sql:
        """What items are sorted by, to be read from one."""
        return fill(", ".join(["{}"] * len(self._keys)), *(key.value for key in self._keys))

    @property
    def clause(self) -> Sql:
        """What stands behind ORDER BY."""
        parts = []
        for key in self._keys:
            if key.can_be_missing:
                parts.append(fill("{} IS NULL", key.value))
            parts.append(fill("{} DESC" if key.is_descending else "{}", key.value))
        return fill(", ".join(["{}"] * len(parts)), *parts)

    def behind(self, position: tuple[Value, ...]) -> Sql:
        """Items behind a position, as a condition.

        Raises:
            InvalidQueryError: no item can be there.
        """
        if not all(value is None or isinstance(value, str | int | float) for value in position):
            raise InvalidQueryError("the token of the page is garbled; begin again")
        condition = Sql("0")
        for key, value in reversed(list(zip(self._keys, position, strict=True))):
            same = fill("{} IS {}", key.value, Sql("?", (value,)))
            condition = fill("({} OR ({} AND {}))", _behind_one(key, value), same, condition)
        first, value = self._keys[0], position[0]
        if first.can_be_missing or value is None:
            return condition
        # Says the same again in a form for which SQLite can enter an index.
        bound = fill(
            f"{{}} {'<=' if first.is_descending else '>='} {{}}", first.value, Sql("?", (value,))
        )
        return fill("({} AND {})", bound, condition)


def _behind_one(key: _Key, value: Value) -> Sql:
    if value is None:
        return Sql("0")  # Nothing comes behind what has no value but others without one.
    beyond = fill(f"{{}} {'<' if key.is_descending else '>'} {{}}", key.value, Sql("?", (value,)))
    return fill("({} OR {} IS NULL)", beyond, key.value) if key.can_be_missing else beyond
