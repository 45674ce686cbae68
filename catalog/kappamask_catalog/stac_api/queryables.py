"""What filters can use, as JSON Schema: of all collections and of one."""

from collections.abc import Iterable
from typing import Any

import attr
from stac_fastapi.extensions.filter.client import BaseFiltersClient
from starlette.requests import Request

from kappamask_catalog.stac_api.answers import schema_response
from kappamask_catalog.stac_api.client import Answer, Identify
from kappamask_catalog.stac_api.links import base_url, collection_url
from kappamask_catalog.store.base import Document, Store
from kappamask_udf.classes import MaskClass

Schema = dict[str, Any]

_SCHEMA_DIALECT = "https://json-schema.org/draft/2019-09/schema"
"""Source: STAC API filter extension 1.0.0-rc.3, queryables."""


def _text(title: str, *values: str) -> Schema:
    schema: Schema = {"title": title, "type": "string"}
    return schema | {"enum": list(values)} if values else schema


def _number(title: str, low: float | None = None, high: float | None = None) -> Schema:
    limits = {"minimum": low, "maximum": high}
    schema: Schema = {"title": title, "type": "number"}
    return schema | {name: value for name, value in limits.items() if value is not None}


def _time(title: str) -> Schema:
    return {"title": title, "type": "string", "format": "date-time"}


def _per_class(title: str) -> Schema:
    numbers = {one.stac_name: _number(one.style.title, 0) for one in MaskClass if one}
    return {"title": title, "type": "object", "properties": numbers}


ALWAYS: dict[str, Schema] = {
    "id": _text("Item"),
    "collection": _text("Collection"),
    "geometry": {"title": "Footprint", "$ref": "https://geojson.org/schema/Geometry.json"},
    "datetime": _time("Time of acquisition"),
}  # fmt: skip

KNOWN: dict[str, Schema] = {
    "created": _time("Made at"),
    "updated": _time("Changed at"),
    "start_datetime": _time("Begin of acquisition"),
    "end_datetime": _time("End of acquisition"),
    "title": _text("Title"),
    "description": _text("Description"),
    "gsd": _number("Pixel size, metres", 0),
    "platform": _text("Satellite", "sentinel-2a", "sentinel-2b", "sentinel-2c", "sentinel-2d"),
    "constellation": _text("Constellation", "sentinel-2"),
    "instruments": {"title": "Instruments", "type": "array", "items": _text("Instrument", "msi")},
    "eo:cloud_cover": _number("Cloud cover of the mask, percent", 0, 100),
    "eo:snow_cover": _number("Snow cover, percent", 0, 100),
    "grid:code": _text("MGRS tile, such as MGRS-35VLF") | {"pattern": "^MGRS-"},
    "mgrs:utm_zone": {"title": "UTM zone", "type": "integer", "minimum": 1, "maximum": 60},
    "mgrs:latitude_band": _text("Latitude band") | {"pattern": "^[C-HJ-NP-X]$"},
    "mgrs:grid_square": _text("Grid square") | {"pattern": "^[A-HJ-NP-Z][A-HJ-NP-V]$"},
    "proj:code": _text("Coordinate reference system, such as EPSG:32635"),
    "sat:orbit_state": _text("Orbit direction", "ascending", "descending"),
    "sat:relative_orbit": {
        "title": "Relative orbit", "type": "integer", "minimum": 1, "maximum": 143,
    },
    "sat:absolute_orbit": {"title": "Absolute orbit", "type": "integer", "minimum": 1},
    "view:sun_azimuth": _number("Azimuth of the Sun, degrees", 0, 360),
    "view:sun_elevation": _number("Height of the Sun, degrees", -90, 90),
    "view:azimuth": _number("Viewing azimuth, degrees", 0, 360),
    "view:incidence_angle": _number("Incidence angle, degrees", 0, 90),
    "processing:level": _text("Processing level"),
    "processing:facility": _text("Who made it"),
    "s2:product_uri": _text("Product"),
    "s2:product_type": _text("Type of the product", "S2MSI1C", "S2MSI2A"),
    "s2:datatake_id": _text("Datatake"),
    "s2:datatake_type": _text("Type of the datatake"),
    "s2:datastrip_id": _text("Datastrip"),
    "s2:granule_id": _text("Granule"),
    "s2:tile_id": _text("Tile"),
    "s2:mgrs_tile": _text("MGRS tile"),
    "s2:processing_baseline": _text("Processing baseline, such as 05.11"),
    "s2:generation_time": _time("Product made at"),
    "s2:reflectance_conversion_factor": _number("Correction for the distance to the Sun"),
    "s2:degraded_msi_data_percentage": _number("Degraded data, percent", 0, 100),
    "s2:nodata_pixel_percentage": _number("Pixels without data, percent", 0, 100),
    "kappamask:model": _text("Model"),
    "kappamask:model_version": _text("Version of the model"),
    "kappamask:level": _text("Level of the product", "L1C", "L2A"),
    "kappamask:dilation": _number("Shadow and clouds grown by, metres", 0),
    "kappamask:device": _text("What the model ran on", "cpu", "cuda", "tensorrt"),
    "kappamask:profile": _text("Profile of the model"),
    "kappamask:tiling": _text("Way to make tiles"),
    "kappamask:product_cloud_cover": _number("Cloud cover by the product, percent", 0, 100),
    "kappamask:not_predicted": {
        "title": "Classes that the model does not know", "type": "array",
        "items": _text("Class", *(one.stac_name for one in MaskClass)),
    },
    "kappamask:class_percentages": _per_class("Share of each class, percent"),
    "kappamask:class_areas": _per_class("Area of each class, square kilometres"),
}  # fmt: skip
"""Schemas of properties that mask items have, by name."""


def build_queryables(url: str, title: str, names: Iterable[str], ids: Iterable[str]) -> Document:
    """The schema of what filters can use.

    Args:
        url: where it is.
        title: for people.
        names: of properties that items have.
        ids: of collections.
    """
    properties = {name: dict(schema) for name, schema in ALWAYS.items()}
    properties["collection"]["enum"] = list(ids)
    for name in names:
        if name not in properties:
            properties[name] = KNOWN.get(name, {"title": name})
    return {
        "$schema": _SCHEMA_DIALECT,
        "$id": url,
        "type": "object",
        "title": title,
        "properties": properties,
        "additionalProperties": True,
    }


@attr.s(auto_attribs=True, kw_only=True)
class QueryablesClient(BaseFiltersClient):
    """The addresses of the filter extension."""

    store: Store
    identify: Identify

    def get_queryables(self, collection_id: str | None = None, **kwargs: Any) -> Answer:
        """GET `/queryables` and `/collections/{collection_id}/queryables`."""
        request: Request = kwargs["request"]
        caller, base = self.identify(request), base_url(request)
        names = self.store.property_names(collection_id, caller)
        if collection_id is None:
            ids = [one["id"] for one in self.store.list_collections(caller)]
            schema = build_queryables(f"{base}queryables", "All collections", names, ids)
        else:
            url = f"{collection_url(base, collection_id)}/queryables"
            schema = build_queryables(url, collection_id, names, [collection_id])
        return schema_response(schema)
