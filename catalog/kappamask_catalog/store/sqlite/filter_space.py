"""CQL2's spatial functions: the item's geometry against one of the query."""

from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.sqlite.fields import GEOMETRY, Sql, core_kind, is_geometry
from kappamask_catalog.store.sqlite.filter_nodes import arguments, property_name
from kappamask_catalog.store.sqlite.functions import SPATIAL
from kappamask_catalog.store.values import (
    Box,
    box_geometry,
    parse_geometry,
    split_bbox,
    split_boxes,
)
from kappamask_udf.errors import InvalidQueryError

SPATIAL_OPERATORS = frozenset(SPATIAL)
_MIRRORED = {"s_contains": "s_within", "s_within": "s_contains"}
"""The same question with its sides exchanged, where that is another one."""
_FAR = "s_disjoint"
"""The one that is true of what does not touch."""


def spatial_condition(operator: str, node: Mapping[str, Any]) -> Sql:
    """A spatial function as a condition; the boxes are asked first."""
    left, right = arguments(node, exactly=2)
    sides = [_is_item_geometry(one) for one in (left, right)]
    if all(sides):
        return Sql(f"{operator}({GEOMETRY}, {GEOMETRY})")
    if not any(sides):
        result = SPATIAL[operator](_literal(left), _literal(right))
        return Sql("1" if result else "0")
    geometry = _literal(left if sides[1] else right)
    if sides[0]:
        operator = _MIRRORED.get(operator, operator)
    # The query's geometry is the function's first argument, where it is prepared once.
    exact = Sql(f"{operator}(?, {GEOMETRY})", (shapely.to_wkb(geometry),))
    if operator == _FAR:
        return exact
    near = boxes_condition(split_boxes(geometry))
    return Sql(f"({near.text} AND {exact.text})", near.values + exact.values)


def boxes_condition(boxes: tuple[Box, ...], days: tuple[float, float] | None = None) -> Sql:
    """Items with a box that meets one of these, and with a time within some days since 1970."""
    in_time = " AND start <= ? AND stop >= ?" if days else ""
    time_values = (days[1], days[0]) if days else ()
    selects, values = [], []
    for west, south, east, north in boxes:
        selects.append(
            "SELECT id / 2 FROM boxes "
            f"WHERE west <= ? AND east >= ? AND south <= ? AND north >= ?{in_time}"
        )
        values += [east, west, north, south, *time_values]
    return Sql(f"i.row IN ({' UNION ALL '.join(selects)})", tuple(values))


def valid_geometry(document: Any) -> BaseGeometry:
    """A query's geometry in two dimensions. Raises `InvalidQueryError` if it is not valid."""
    try:
        geometry = shapely.force_2d(parse_geometry(document))
    except ValueError as error:
        raise InvalidQueryError(str(error)) from error
    if not geometry.is_valid:
        reason = shapely.is_valid_reason(geometry)
        raise InvalidQueryError(f"the {geometry.geom_type} is not valid: {reason}")
    return geometry


def query_boxes(bbox: Any) -> tuple[Box, ...]:
    """The box of a query, or two across the antimeridian. Raises `InvalidQueryError`."""
    try:
        return split_bbox(bbox)
    except ValueError as error:
        raise InvalidQueryError(str(error)) from error


def boxes_geometry(boxes: tuple[Box, ...]) -> BaseGeometry:
    """The geometry of boxes."""
    geometry: BaseGeometry = shapely.union_all([box_geometry(box) for box in boxes])
    return geometry


def _is_item_geometry(node: Any) -> bool:
    name = property_name(node)
    if name is not None and not is_geometry(name):
        what = "no geometry" if core_kind(name) else "not the item's geometry"
        raise InvalidQueryError(f"{name} is {what}; spatial functions compare geometry")
    return name is not None


def _literal(node: Any) -> BaseGeometry:
    if isinstance(node, Mapping) and "bbox" in node and "type" not in node:
        return boxes_geometry(query_boxes(node["bbox"]))
    return valid_geometry(node)
