"""Functions that SQLite lacks and CQL2 has, registered on each connection.

A function that is given nothing, or what it cannot work with, gives NULL as SQL's own do.
"""

import sqlite3
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson
import shapely
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.values import parse_date, parse_time, to_microseconds

SPATIAL: dict[str, Callable[..., Any]] = {
    "s_contains": shapely.contains,
    "s_crosses": shapely.crosses,
    "s_disjoint": shapely.disjoint,
    "s_equals": shapely.equals,
    "s_intersects": shapely.intersects,
    "s_overlaps": shapely.overlaps,
    "s_touches": shapely.touches,
    "s_within": shapely.within,
}
"""Predicates of two geometries by their name in CQL2."""
ARRAYS: dict[str, Callable[[set[Any], set[Any]], bool]] = {
    "a_contains": lambda left, right: left >= right,
    "a_containedBy": lambda left, right: left <= right,
    "a_equals": lambda left, right: left == right,
    "a_overlaps": lambda left, right: bool(left & right),
}
"""Comparisons of two arrays as sets by their name in CQL2."""


def fold_case(text: str) -> str:
    """CQL2's `casei`: equal for texts that differ in case only."""
    return text.casefold()


def strip_accents(text: str) -> str:
    """CQL2's `accenti`: equal for texts that differ in accents only."""
    parts = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(one for one in parts if not _is_accent(one)))


def register_functions(connection: sqlite3.Connection) -> None:
    """Make the functions known to one connection."""
    functions: dict[str, tuple[int, Callable[..., Any]]] = {
        "cql_time": (1, _time),
        "cql_casei": (1, lambda text: fold_case(text) if isinstance(text, str) else None),
        "cql_accenti": (1, lambda text: strip_accents(text) if isinstance(text, str) else None),
        "cql_power": (2, _number(lambda a, b: float(a) ** b)),
        "cql_modulo": (2, _number(lambda a, b: a - b * int(a / b))),
        "cql_div": (2, _number(lambda a, b: int(a / b))),
    }
    functions |= {name: (2, _array(comparison)) for name, comparison in ARRAYS.items()}
    functions |= {name: (2, _spatial(predicate)) for name, predicate in SPATIAL.items()}
    for name, (n_arguments, function) in functions.items():
        connection.create_function(name, n_arguments, function, deterministic=True)


def _is_accent(character: str) -> bool:
    return unicodedata.combining(character) != 0


def _time(text: object) -> int | None:
    time = parse_time(text) or parse_date(text)
    return None if time is None else to_microseconds(time)


def _number(operation: Callable[[Any, Any], Any]) -> Callable[[Any, Any], float | int | None]:
    def function(left: Any, right: Any) -> float | int | None:
        if not (isinstance(left, int | float) and isinstance(right, int | float)):
            return None
        try:
            result = operation(left, right)
        except (ArithmeticError, ValueError):
            return None
        return result if isinstance(result, int | float) and abs(result) < 2**63 else None

    return function


def _array(comparison: Callable[[set[Any], set[Any]], bool]) -> Callable[[Any, Any], bool | None]:
    def function(left: str | None, right: str | None) -> bool | None:
        if left is None or right is None:
            return None
        return comparison(_elements(left), _elements(right))

    return function


def _elements(text: str) -> set[Any]:
    """Elements of an array as JSON; a number is itself, whether 1 or 1.0, and never `true`."""
    return {
        value
        if isinstance(value, int | float) and not isinstance(value, bool)
        else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        for value in orjson.loads(text)
    }


def _spatial(predicate: Callable[..., Any]) -> Callable[[Any, Any], bool | None]:
    def function(left: bytes | None, right: bytes | None) -> bool | None:
        if left is None or right is None:
            return None
        try:
            # The left one is the same for every row: the query's own.
            return bool(predicate(_prepared(left), shapely.from_wkb(right)))
        except ShapelyError:
            return None

    return function


@lru_cache(maxsize=64)
def _prepared(wkb: bytes) -> BaseGeometry:
    geometry: BaseGeometry = shapely.from_wkb(wkb)
    shapely.prepare(geometry)
    return geometry
