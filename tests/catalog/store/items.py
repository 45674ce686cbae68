"""Collections and items of masks from a few words; fields as `publish.item` writes them."""

from dataclasses import replace
from typing import Any

import shapely
from shapely.geometry import mapping

from kappamask_catalog.store.base import (
    OPERATOR,
    Access,
    Document,
    ItemPage,
    ItemQuery,
    Store,
    Visibility,
)

CLASSES = ("clear", "cloud_shadow", "semi_transparent_cloud", "cloud", "missing")


def make_collection(
    identifier: str, owner: str | None = None, *, private: bool = False, **fields: Any
) -> tuple[Document, Access]:
    """A collection and whose it is."""
    document = {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": identifier,
        "title": f"Masks of {identifier}",
        "description": "Classes of every pixel.",
        "license": "proprietary",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2015-06-27T10:25:31Z", None]]},
        },
        "links": [],
        **fields,
    }
    return document, Access(owner, Visibility.PRIVATE if private else Visibility.PUBLIC)


def make_item(
    identifier: str,
    time: str | tuple[str, str] = "2024-03-10T10:00:21Z",
    where: tuple[float, float, float, float] | shapely.Geometry = (13.0, 45.0, 14.0, 46.0),
    *,
    collection: str = "masks",
    **properties: Any,
) -> Document:
    """The item of a mask.

    Args:
        identifier: its id.
        time: its datetime, or start and end.
        where: west, south, east, north in degrees, or a geometry.
        collection: where it goes.
        properties: more of them, or others; `eo__cloud_cover` is `eo:cloud_cover`, `None` takes
            one away.
    """
    geometry = shapely.box(*where) if isinstance(where, tuple) else where
    times: dict[str, Any] = {"datetime": time}
    if isinstance(time, tuple):
        times = {"datetime": None, "start_datetime": time[0], "end_datetime": time[1]}
    given = {name.replace("__", ":"): value for name, value in properties.items()}
    fields = {**_properties(identifier), **given}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "id": identifier,
        "collection": collection,
        "geometry": _listed(mapping(geometry)),
        "bbox": _bbox(geometry),
        "properties": times | {name: one for name, one in fields.items() if one is not None},
        "links": [
            {
                "rel": "derived_from",
                "href": f"https://example.com/items/{identifier}",
                "type": "application/geo+json",
                "title": identifier,
            }
        ],
        "assets": {
            "mask": {
                "href": "./mask.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "title": "Classes",
                "roles": ["data", "cloud", "cloud-shadow"],
                "data_type": "uint8",
                "nodata": 0,
                "bands": [{"name": "mask", "description": "Class of the pixel"}],
                "classification:classes": [
                    {"value": value, "name": name} for value, name in enumerate(CLASSES, 1)
                ],
            }
        },
    }


def _properties(identifier: str) -> dict[str, Any]:
    return {
        "platform": "sentinel-2a",
        "constellation": "sentinel-2",
        "instruments": ["msi"],
        "title": f"Cloud mask of {identifier}",
        "created": "2026-01-02T03:04:05Z",
        "gsd": 10,
        "eo:cloud_cover": 26.6667,
        "grid:code": "MGRS-33TVL",
        "proj:code": "EPSG:32633",
        "proj:shape": [10980, 10980],
        "s2:processing_baseline": "05.10",
        "processing:software": {"openeo-kappamask": "0.1.0"},
        "kappamask:model": "ukis-csmask-6b-l1c",
        "kappamask:dilation": 0.0,
        "kappamask:class_percentages": dict.fromkeys(CLASSES, 20.0),
    }


def _bbox(geometry: shapely.Geometry) -> list[float]:
    """Of GeoJSON: west > east where the geometry was cut at the antimeridian."""
    west, south, east, north = geometry.bounds
    parts = shapely.get_parts(geometry)
    if (west, east) == (-180, 180) and len(parts) > 1:
        west = min(part.bounds[0] for part in parts if part.bounds[2] == 180)
        east = max(part.bounds[2] for part in parts if part.bounds[0] == -180)
    return [west, south, east, north]


def _listed(value: Any) -> Any:
    """Tuples as lists, as they come out of JSON."""
    if isinstance(value, dict):
        return {name: _listed(one) for name, one in value.items()}
    return [_listed(one) for one in value] if isinstance(value, tuple | list) else value


def find(store: Store, **conditions: Any) -> list[str]:
    """Ids of the items that a search finds, in order."""
    return ids_of(page_of(store, **conditions))


def page_of(store: Store, **conditions: Any) -> ItemPage:
    """A page of a search, by the operator if no caller is given."""
    caller = conditions.pop("caller", OPERATOR)
    return store.search(ItemQuery(**{"limit": 1000, **conditions}), caller)


def ids_of(page: ItemPage) -> list[str]:
    """Ids of a page's items, in order."""
    return [item["id"] for item in page.items]


def all_pages(store: Store, query: ItemQuery, caller: Any = OPERATOR) -> list[list[str]]:
    """Ids of all pages."""
    page = store.search(query, caller)
    pages = [ids_of(page)]
    while page.next_token is not None:
        page = store.search(replace(query, token=page.next_token), caller)
        pages.append(ids_of(page))
    return pages
