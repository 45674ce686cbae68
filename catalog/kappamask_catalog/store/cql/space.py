"""CQL2's spatial functions: the item's geometry against one of the query."""

from collections.abc import Mapping
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.cql.dialect import Dialect
from kappamask_catalog.store.cql.nodes import arguments, property_name
from kappamask_catalog.store.cql.sql import Sql, core_kind, is_geometry
from kappamask_catalog.store.values import Box, box_geometry, parse_geometry, split_bbox
from kappamask_udf.errors import InvalidQueryError

SPATIAL_OPERATORS = frozenset(
    {
        "s_contains", "s_crosses", "s_disjoint", "s_equals", "s_intersects", "s_overlaps",
        "s_touches", "s_within",
    }
)  # fmt: skip
MIRRORED = {"s_contains": "s_within", "s_within": "s_contains"}
"""The same question with its sides exchanged, where that is another one."""


def spatial_condition(operator: str, node: Mapping[str, Any], dialect: Dialect) -> Sql:
    """A spatial function as a condition."""
    nodes = arguments(node, exactly=2)
    left, right = (None if _is_item_geometry(one) else _literal(one) for one in nodes)
    return dialect.spatial_comparison(operator, left, right)


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
