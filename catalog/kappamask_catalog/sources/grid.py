"""The pixel grids of a product: one per resolution, all with the same upper-left corner."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac
from affine import Affine
from lxml import etree

from kappamask_catalog.sources.documents import find_text
from kappamask_udf.errors import CorruptDataError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M

RESOLUTIONS_M = (10, 20, 60)
"""Grids of the instrument. Source: ESA, Sentinel-2 Products Specification Document."""


@dataclass(frozen=True)
class ProductGrid:
    """Where the pixels of a product are."""

    epsg: int
    """Code of the UTM zone."""
    left_m: float
    """Easting of the upper-left corner, metres."""
    top_m: float
    """Northing of the upper-left corner, metres."""
    shapes_yx: Mapping[int, tuple[int, int]]
    """Rows and columns by resolution in metres; 10 is always there."""

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns at 10 m."""
        return self.shapes_yx[NATIVE_RESOLUTION_M]

    def shape_at(self, resolution_m: int) -> tuple[int, int]:
        """Rows and columns at a resolution; where it is not told, as many as cover the product."""
        if resolution_m in self.shapes_yx:
            return self.shapes_yx[resolution_m]
        rows, cols = self.shape_yx
        factor = resolution_m / NATIVE_RESOLUTION_M
        return math.ceil(rows / factor), math.ceil(cols / factor)

    def transform_at(self, resolution_m: int) -> Affine:
        """From (column, row) to (easting, northing) of pixel corners."""
        return Affine(resolution_m, 0, self.left_m, 0, -resolution_m, self.top_m)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north in metres."""
        rows, cols = self.shape_yx
        return (
            self.left_m,
            self.top_m - rows * NATIVE_RESOLUTION_M,
            self.left_m + cols * NATIVE_RESOLUTION_M,
            self.top_m,
        )


def parse_granule_grid(root: etree._Element, source: str) -> ProductGrid:
    """The grids that MTD_TL.xml tells.

    Raises:
        CorruptDataError: an element is missing or no number.
    """
    code = find_text(root, "HORIZONTAL_CS_CODE") or ""
    try:
        epsg = int(code.upper().removeprefix("EPSG:"))
        corner = next(root.iter("{*}Geoposition"))
        left, top = (float(find_text(corner, tag) or "") for tag in ("ULX", "ULY"))
        shapes = {
            int(size.get("resolution") or ""): (
                int(find_text(size, "NROWS") or ""),
                int(find_text(size, "NCOLS") or ""),
            )
            for size in root.iter("{*}Size")
        }
    except (ValueError, StopIteration) as error:
        raise CorruptDataError(
            f"{source} has no complete Tile_Geocoding (HORIZONTAL_CS_CODE, Size, Geoposition)"
        ) from error
    if NATIVE_RESOLUTION_M not in shapes or min(min(shape) for shape in shapes.values()) < 1:
        raise CorruptDataError(f"{source} gives no size of the 10 m grid, found {shapes}")
    return ProductGrid(epsg, left, top, shapes)


def item_grid(item: pystac.Item) -> ProductGrid | None:
    """The grids that the projection extension of an item tells, `None` if it does not."""
    # Copernicus Data Space tells the code with each asset.
    told = {item_epsg(asset.extra_fields) for asset in item.assets.values()} - {None}
    epsg = item_epsg(item.properties) or (told.pop() if len(told) == 1 else None)
    if epsg is None:
        return None
    found: dict[int, tuple[Affine, tuple[int, int]]] = {}
    for fields in (item.properties, *(asset.extra_fields for asset in item.assets.values())):
        transform, shape = fields.get("proj:transform"), fields.get("proj:shape")
        if transform and shape and len(transform) in (6, 9) and len(shape) == 2:
            affine = Affine(*(float(value) for value in transform[:6]))
            found.setdefault(round(affine.a), (affine, (int(shape[0]), int(shape[1]))))
    known = [resolution for resolution in RESOLUTIONS_M if resolution in found]
    if not known:
        return None
    affine, (rows, cols) = found[known[0]]
    factor = known[0] // NATIVE_RESOLUTION_M
    shapes = {resolution: found[resolution][1] for resolution in known}
    shapes.setdefault(NATIVE_RESOLUTION_M, (rows * factor, cols * factor))
    return ProductGrid(epsg, affine.c, affine.f, shapes)


def item_epsg(properties: Mapping[str, Any]) -> int | None:
    """The code in `proj:code` (or `proj:epsg` of older items), `None` if there is none."""
    code = properties.get("proj:code") or properties.get("proj:epsg")
    try:
        return None if code is None else int(str(code).upper().removeprefix("EPSG:"))
    except ValueError:
        return None
