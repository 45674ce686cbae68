"""What a database has to say for filters."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.cql.sql import Kind, Sql


class Dialect(Protocol):
    """How a database writes what CQL2 asks for.

    What is missing, of another kind, or cannot be calculated gives NULL, never an error.
    """

    @property
    def arithmetic(self) -> Mapping[str, str]:
        """Templates of two numbers by the operator: `+ - * / ^ % div`."""
        ...

    @property
    def folds(self) -> Mapping[str, str]:
        """Templates of a text: `casei` and `accenti`."""
        ...

    def constant(self, value: bool) -> Sql:
        """A condition that always is true or false."""
        ...

    def field(self, name: str, kind: Kind) -> Sql:
        """A core field, or a property of a kind. Raises `InvalidQueryError` for a bad name."""
        ...

    def literal(self, value: bool | float | str) -> Sql:
        """A value of the filter."""
        ...

    def instant(self, microseconds: int) -> Sql:
        """A time in microseconds since 1970; beyond `times.EVER` there is none."""
        ...

    def item_range(self) -> tuple[Sql, Sql]:
        """First and last moment of the item."""
        ...

    def comparison(self, operator: str, kind: Kind, left: Sql, right: Sql) -> Sql:
        """Two values of a kind, compared by `= <> < <= > >=`; texts by code points."""
        ...

    def like(self, value: Sql, pattern: str, folds: Sequence[str]) -> Sql:
        r"""A text against a pattern with `%`, `_`, and `\` before either; case counts.

        Args:
            value: the text, folded already.
            pattern: not folded yet.
            folds: to be done to the pattern, in order.
        """
        ...

    def array(self, values: Sequence[Any]) -> Sql:
        """An array of the filter."""
        ...

    def array_comparison(self, operator: str, left: Sql, right: Sql) -> Sql:
        """`a_contains`, `a_containedBy`, `a_equals` or `a_overlaps`; arrays are sets."""
        ...

    def spatial_comparison(
        self, operator: str, left: BaseGeometry | None, right: BaseGeometry | None
    ) -> Sql:
        """Two geometries by the operator, such as `s_within`; `None` is the item's own."""
        ...
