"""What is searched for, in the words that pgstac understands.

pgstac knows most of CQL2. What it would misread is rewritten here: boxes and swapped operands of
spatial operators, and comparisons with times, where it compares texts unless the name is
registered.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import cql2
import shapely

from kappamask_catalog.store.base import Document, ItemQuery
from kappamask_catalog.store.values import box_geometry, parse_geometry
from kappamask_udf.errors import InvalidQueryError

MIRRORED = {"s_within": "s_contains", "s_contains": "s_within"}
"""Spatial operators that are another one with their operands swapped."""
AS_TEMPORAL = {
    "<": ("t_before", False),
    ">": ("t_after", False),
    "=": ("t_equals", False),
    "<=": ("t_after", True),
    ">=": ("t_before", True),
    "<>": ("t_equals", True),
}
"""Comparison to temporal operator, and whether the latter is negated."""
GEOMETRY = {"property": "geometry"}


def build_search(query: ItemQuery) -> Document:
    """The body of a search for pgstac, without collections, order and page.

    Raises:
        InvalidQueryError: a condition cannot be understood.
    """
    conditions: list[Any] = []
    if query.filter is not None:
        conditions.append(rewrite(check_filter(query.filter)))
    if query.bbox is not None:
        conditions.append({"op": "s_intersects", "args": [GEOMETRY, bbox_geometry(query.bbox)]})
    search: Document = {"filter-lang": "cql2-json"}
    if query.intersects is not None:
        search["intersects"] = check_geometry(query.intersects)
    if query.ids is not None:
        search["ids"] = list(query.ids)
    if query.interval is not None and query.interval != (None, None):
        search["datetime"] = "/".join(_format_time(time) for time in query.interval)
    if conditions:
        search["filter"] = {"op": "and", "args": conditions}
    return search


def check_filter(expression: Mapping[str, Any]) -> Any:
    """The same expression if it is CQL2 that is true or false.

    Raises:
        InvalidQueryError: it is not.
    """
    try:
        cql2.Expr(dict(expression)).validate()
    except Exception as error:  # cql2 raises it bare, see its issue tracker
        text = " ".join(str(error).split())
        raise InvalidQueryError(f"the filter is not CQL2: {text[:200]}") from error
    return expression


def rewrite(node: Any) -> Any:
    """A CQL2 expression with the same meaning that pgstac reads rightly."""
    if not isinstance(node, Mapping) or "op" not in node:
        return node
    operator, args = str(node["op"]).lower(), list(node["args"])
    if operator.startswith("s_"):
        return _rewrite_spatial(operator, args)
    if operator == "between" and any(map(_is_time, args)):
        value, low, high = args
        bounds = [{"op": ">=", "args": [value, low]}, {"op": "<=", "args": [value, high]}]
        return rewrite({"op": "and", "args": bounds})
    if operator in AS_TEMPORAL and any(map(_is_time, args)):
        temporal, is_negated = AS_TEMPORAL[operator]
        expression = {"op": temporal, "args": args}
        return {"op": "not", "args": [expression]} if is_negated else expression
    return {"op": operator, "args": [rewrite(arg) for arg in args]}


def check_geometry(geometry: Mapping[str, Any]) -> Document:
    """The geometry if one can search with it.

    Raises:
        InvalidQueryError: it is no GeoJSON geometry, empty, or crosses itself.
    """
    try:
        found = parse_geometry(geometry)
    except ValueError as error:
        raise InvalidQueryError(str(error)) from error
    if not found.is_valid:
        reason = shapely.is_valid_reason(found)
        raise InvalidQueryError(f"the {found.geom_type} is not valid: {reason}")
    return dict(geometry)


def bbox_geometry(bbox: Sequence[float]) -> Document:
    """A box as GeoJSON; in two parts where it crosses the antimeridian.

    Args:
        bbox: west, south, east, north in degrees.

    Raises:
        InvalidQueryError: it is no box.
    """
    if len(bbox) != 4 or not all(map(math.isfinite, bbox)):
        raise InvalidQueryError(f"a bbox is west, south, east, north; found {list(bbox)}")
    west, south, east, north = bbox
    if south > north:
        raise InvalidQueryError(f"the bbox has its south ({south:g}) above its north ({north:g})")
    boxes = [(west, south, east, north)]
    if west > east:
        boxes = [(west, south, 180.0, north), (-180.0, south, east, north)]
    geometry: Document = json.loads(
        shapely.to_geojson(shapely.union_all([box_geometry(box) for box in boxes]))
    )
    return geometry


def _rewrite_spatial(operator: str, args: list[Any]) -> Document:
    if len(args) != 2:
        raise InvalidQueryError(f"{operator} takes two operands, found {len(args)}")
    if isinstance(args[1], Mapping) and "property" in args[1]:
        args.reverse()
        operator = MIRRORED.get(operator, operator)
    name, operand = args
    # pgstac does not look at the name and always takes the geometry.
    if not isinstance(name, Mapping) or name.get("property") != "geometry":
        raise InvalidQueryError(f"{operator} compares the property geometry, found {name!r}")
    if isinstance(operand, Mapping) and "bbox" in operand:
        box = list(operand["bbox"])
        operand = bbox_geometry(box if len(box) == 4 else [*box[0:2], *box[3:5]])
    elif isinstance(operand, Mapping):
        operand = check_geometry(operand)
    return {"op": operator, "args": [GEOMETRY, operand]}


def _is_time(operand: Any) -> bool:
    return isinstance(operand, Mapping) and ("timestamp" in operand or "date" in operand)


def _format_time(time: datetime | None) -> str:
    if time is None:
        return ".."
    if time.tzinfo is None:
        raise InvalidQueryError(f"the interval needs times with a zone, found {time.isoformat()}")
    return time.astimezone(UTC).isoformat()
