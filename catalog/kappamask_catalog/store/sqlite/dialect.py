"""How SQLite writes CQL2; what it lacks are functions of ours."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import orjson
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.cql.sql import Kind, Sql, fill
from kappamask_catalog.store.sqlite.fields import field
from kappamask_catalog.store.sqlite.filter_space import compare_geometries
from kappamask_catalog.store.sqlite.functions import fold_case, strip_accents

_FOLDS: dict[str, Callable[[str], str]] = {"casei": fold_case, "accenti": strip_accents}


class SqliteDialect:
    """See `kappamask_catalog.store.cql.dialect.Dialect`."""

    arithmetic: ClassVar = {
        "+": "({} + {})",
        "-": "({} - {})",
        "*": "({} * {})",
        "/": "(CAST({} AS REAL) / {})",
        "^": "cql_power({}, {})",
        "%": "cql_modulo({}, {})",
        "div": "cql_div({}, {})",
    }
    folds: ClassVar = {name: f"cql_{name}({{}})" for name in _FOLDS}

    def constant(self, value: bool) -> Sql:
        """A condition that always is true or false."""
        return Sql("1" if value else "0")

    def field(self, name: str, kind: Kind) -> Sql:
        """A core field, or a property of a kind."""
        return field(name, kind)

    def literal(self, value: bool | float | str) -> Sql:
        """A value of the filter."""
        if isinstance(value, bool):
            return Sql("?", (int(value),))
        # Larger whole numbers than SQLite's are numbers with a point, as in JSON itself.
        is_large = isinstance(value, int) and abs(value) >= 2**63
        return Sql("?", (float(value) if is_large else value,))

    def instant(self, microseconds: int) -> Sql:
        """A time."""
        return Sql("?", (microseconds,))

    def item_range(self) -> tuple[Sql, Sql]:
        """First and last moment of the item."""
        return Sql("i.start"), Sql("i.stop")

    def comparison(self, operator: str, _: Kind, left: Sql, right: Sql) -> Sql:
        """Two values of a kind, compared."""
        return fill(f"({{}} {operator} {{}})", left, right)

    def like(self, value: Sql, pattern: str, folds: Sequence[str]) -> Sql:
        """A text against a pattern: GLOB, since SQLite's LIKE does not mind case."""
        for name in folds:
            pattern = _FOLDS[name](pattern)
        return fill("({} GLOB {})", value, Sql("?", (_to_glob(pattern),)))

    def array(self, values: Sequence[Any]) -> Sql:
        """An array of the filter."""
        return Sql("?", (orjson.dumps(values).decode(),))

    def array_comparison(self, operator: str, left: Sql, right: Sql) -> Sql:
        """Two arrays as sets."""
        return fill(f"{operator}({{}}, {{}})", left, right)

    def spatial_comparison(
        self, operator: str, left: BaseGeometry | None, right: BaseGeometry | None
    ) -> Sql:
        """Two geometries, `None` for the item's own."""
        return compare_geometries(operator, left, right)


def _to_glob(pattern: str) -> str:
    r"""A pattern of LIKE as one of GLOB, which minds case: `%`, `_`, and `\` before either."""
    glob, characters = "", iter(pattern)
    for character in characters:
        if character == "%":
            # Several in a row are one; SQLite would try them all.
            glob += "" if glob.endswith("*") else "*"
        elif character == "_":
            glob += "?"
        else:
            literal = next(characters, "\\") if character == "\\" else character
            glob += f"[{literal}]" if literal in "*?[" else literal
    return glob
