"""Fields of items in SQLite: `i` is the table of items, `d` that of their documents."""

from kappamask_catalog.store.cql.sql import Kind, Sql, property_paths, short_name

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


def reads_documents(part: Sql) -> bool:
    """Whether a piece of SQL needs the table of documents."""
    return "d.properties" in part.text


def is_costly(part: Sql) -> bool:
    """Whether it reads more of each item than what indexes and narrow rows have."""
    return reads_documents(part) or GEOMETRY in part.text


def field(name: str, kind: Kind) -> Sql:
    """A field by its name in queries: a core field, or a property with or without `properties.`.

    Raises:
        InvalidQueryError: the name cannot be that of a property.
    """
    short = short_name(name)
    if short in _CORE:
        return Sql(_CORE[short][0])
    if short in KEPT and kind in (KEPT[short][1], Kind.ANY):
        return Sql(KEPT[short][0])
    paths = ["$" + "".join(f'."{step}"' for step in steps) for steps in property_paths(short)]
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
