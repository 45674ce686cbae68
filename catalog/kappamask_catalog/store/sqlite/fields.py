"""Fields of items as SQL: `i` is the table of items, `d` that of their documents.

Values are always bound. What is put into the text of a statement is written here.
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

    @property
    def reads_documents(self) -> bool:
        """Whether it needs the table of documents."""
        return "d.properties" in self.text

    @property
    def is_costly(self) -> bool:
        """Whether it reads more of each item than what indexes and narrow rows have."""
        return self.reads_documents or GEOMETRY in self.text


class Kind(StrEnum):
    """What an expression gives."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    ARRAY = "array"
    ANY = "value"
    """Whatever the property has."""


_CORE = {
    "id": ("i.id", Kind.TEXT),
    "collection": ("i.collection", Kind.TEXT),
    "datetime": ("i.time", Kind.TIME),
}
KEPT = {
    "eo:cloud_cover": ("i.cloud_cover", Kind.NUMBER),
    "grid:code": ("i.grid_code", Kind.TEXT),
}
"""Properties with a column of their own; a value of another kind counts as missing."""
GEOMETRY = "(SELECT geometry FROM geometries WHERE row = i.row)"
"""The item's geometry, as WKB."""
# A value of another kind counts as missing: comparing 5 with "five" is neither true nor false.
_OF_KIND = {
    Kind.TEXT: "CASE {type} WHEN 'text' THEN {value} END",
    Kind.NUMBER: "CASE WHEN {type} IN ('integer', 'real') THEN {value} END",
    Kind.BOOLEAN: "CASE {type} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
    Kind.ARRAY: "CASE {type} WHEN 'array' THEN {value} END",
    Kind.TIME: "cql_time({value})",
    Kind.ANY: "{value}",
}
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
    core = _CORE.get(name.removeprefix(_PREFIX))
    return core[1] if core else None


def is_geometry(name: str) -> bool:
    """Whether a name is that of the item's geometry."""
    return name == "geometry"


def field(name: str, kind: Kind) -> Sql:
    """A field by its name in queries: a core field, or a property with or without `properties.`.

    `a.b` is the property `a.b`, else `b` inside the property `a`.

    Raises:
        InvalidQueryError: the name cannot be that of a property.
    """
    short = name.removeprefix(_PREFIX)
    if short in _CORE:
        return Sql(_CORE[short][0])
    if short in KEPT and kind in (KEPT[short][1], Kind.ANY):
        return Sql(KEPT[short][0])
    if is_geometry(name):
        raise InvalidQueryError(
            "geometry can only be used in spatial functions such as s_intersects"
        )
    if not short or '"' in short or "\0" in short:
        raise InvalidQueryError(f"no property can be called {name!r}; names have no quotes")
    paths = [f'$."{short}"']
    steps = short.split(".")
    if len(steps) > 1 and all(steps):
        paths.append("$" + "".join(f'."{step}"' for step in steps))
    found = {
        "type": _either("json_type", paths),
        "value": _either("json_extract", paths),
    }
    template = _OF_KIND[kind]
    uses = [part for part in ("type", "value") if "{" + part + "}" in template]
    values = tuple(value for part in uses for value in found[part].values)
    return Sql(template.format(**{part: found[part].text for part in uses}), values)


def _either(function: str, paths: list[str]) -> Sql:
    calls = [f"{function}(d.properties, ?)" for _ in paths]
    text = calls[0] if len(calls) == 1 else f"coalesce({', '.join(calls)})"
    return Sql(text, tuple(paths))
