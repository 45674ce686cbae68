"""Pieces of SQL and the kinds of what they give.

Values are always bound, as question marks. What is put into the text of a statement is written in
the code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from kappamask_udf.errors import InvalidQueryError

Value = str | int | float | bytes | None


@dataclass(frozen=True)
class Sql:
    """A piece of SQL with the values for its question marks."""

    text: str
    values: tuple[Value, ...] = ()


class Kind(StrEnum):
    """What an expression gives."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    ARRAY = "array"
    ANY = "value"
    """Whatever the property has."""


_CORE = {"id": Kind.TEXT, "collection": Kind.TEXT, "datetime": Kind.TIME}
_PREFIX = "properties."


def fill(template: str, *parts: Sql) -> Sql:
    """A template with a piece of SQL for each `{}`."""
    values = tuple(value for part in parts for value in part.values)
    return Sql(template.format(*(part.text for part in parts)), values)


def join_balanced(operator: str, parts: Iterable[Sql]) -> Sql:
    """Conditions joined by AND or OR, nested as little as can be: SQLite allows a depth of 1000."""
    level = list(parts)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[-1:] if len(level) % 2 else []
        level = [fill(f"({{}} {operator} {{}})", *pair) for pair in pairs] + odd
    return level[0]


def core_kind(name: str) -> Kind | None:
    """The kind of a field that every item has, `None` for a property."""
    return _CORE.get(name.removeprefix(_PREFIX))


def is_geometry(name: str) -> bool:
    """Whether a name is that of the item's geometry."""
    return name == "geometry"


def short_name(name: str) -> str:
    """A core field or property by its name in queries, without `properties.` before it.

    Raises:
        InvalidQueryError: the name cannot be that of a property.
    """
    short = name.removeprefix(_PREFIX)
    if is_geometry(name):
        raise InvalidQueryError(
            "geometry can only be used in spatial functions such as s_intersects"
        )
    if not short or '"' in short or "\0" in short:
        raise InvalidQueryError(f"no property can be called {name!r}; names have no quotes")
    return short


def property_paths(short: str) -> list[list[str]]:
    """Where to look for a property: `a.b` is the property `a.b`, else `b` inside the one `a`."""
    steps = short.split(".")
    return [[short], steps] if len(steps) > 1 and all(steps) else [[short]]
