"""Collections and items from a few words."""

from typing import Any

COLLECTION_ID = "kappamask-l1c"

Document = dict[str, Any]


def build_collection(collection_id: str = COLLECTION_ID, **fields: Any) -> Document:
    return {
        "type": "Collection",
        "id": collection_id,
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "title": f"Masks {collection_id}",
        "description": "Masks for tests.",
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]},
        },
        "summaries": {"gsd": [10]},
        "links": [
            {
                "rel": "license",
                "href": "https://creativecommons.org/licenses/by/4.0/",
                "title": "CC BY 4.0",
            }
        ],
        **fields,
    }


def build_item(
    item_id: str,
    *,
    west: float = 24.0,
    south: float = 58.0,
    size_deg: float = 0.5,
    time: str = "2024-06-01T09:30:00Z",
    cloud_cover: float = 20.0,
    collection_id: str = COLLECTION_ID,
    href: str = "https://elsewhere.example/mask.tif",
    **properties: Any,
) -> Document:
    """A square item; properties with `__` for `:`."""
    east, north = west + size_deg, south + size_deg
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/eo/v1.1.0/schema.json"],
        "id": item_id,
        "collection": collection_id,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": time,
            "created": "2024-07-01T00:00:00Z",
            "platform": "sentinel-2a",
            "eo:cloud_cover": cloud_cover,
            "kappamask:model": "ukis-csmask-6b-l1c",
            **{name.replace("__", ":"): value for name, value in properties.items()},
        },
        "links": [
            {"rel": "self", "href": "file:///somewhere/else.json"},
            {"rel": "derived_from", "href": "https://elsewhere.example/product.json"},
        ],
        "assets": {"mask": {"href": href, "type": "image/tiff", "roles": ["data"]}},
    }


def build_series(count: int, **fields: Any) -> list[Document]:
    """Items `item-000`, ... : a day later, a degree further east and 3 % cloudier each."""
    return [
        build_item(
            f"item-{number:03}",
            west=10.0 + number,
            time=f"2024-06-{number + 1:02}T09:30:00Z",
            cloud_cover=3.0 * number,
            **fields,
        )
        for number in range(count)
    ]
