"""Geometries of items in SQLite: their boxes in an R*Tree, then the geometries themselves."""

import shapely
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.store.cql.space import MIRRORED
from kappamask_catalog.store.cql.sql import Sql
from kappamask_catalog.store.sqlite.fields import GEOMETRY
from kappamask_catalog.store.sqlite.functions import SPATIAL
from kappamask_catalog.store.values import Box, split_boxes

_FAR = "s_disjoint"
"""The one that is true of what does not touch."""


def compare_geometries(operator: str, left: BaseGeometry | None, right: BaseGeometry | None) -> Sql:
    """Two geometries by a function of CQL2, `None` for the item's own. Boxes are asked first."""
    geometry = right if left is None else left
    if geometry is None:
        return Sql(f"{operator}({GEOMETRY}, {GEOMETRY})")
    if left is not None and right is not None:
        return Sql("1" if SPATIAL[operator](left, right) else "0")
    if left is None:
        operator = MIRRORED.get(operator, operator)
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
