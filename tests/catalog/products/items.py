"""Items as Copernicus Data Space and Earth Search write them, for a small product.

Fields as in `eu-cdse/eometadatatool` (stac/sentinel-2-*/example) and in an answer of Earth Search
(`CS-SI/eodag`, tests/resources/provider_responses/earth_search_search.json), places and links ours.
"""

from typing import Any

from tests.catalog.sources.safes import EPSG, LEFT, TOP, SafeSpec

Document = dict[str, Any]

POLYGON = {
    "type": "Polygon",
    "coordinates": [[[10.2, 45.1], [10.4, 45.1], [10.4, 45.2], [10.2, 45.2], [10.2, 45.1]]],
}


def place(resolution_m: int, spec: SafeSpec) -> Document:
    """Where a raster lies."""
    rows, cols = (side * 10 // resolution_m for side in spec.shape_yx)
    return {
        "proj:shape": [rows, cols],
        "proj:transform": [resolution_m, 0, LEFT, 0, -resolution_m, TOP],
    }


def item(item_id: str, collection: str, assets: Document, **properties: Any) -> Document:
    """An item with nothing special."""
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [],
        "id": item_id,
        "collection": collection,
        "geometry": POLYGON,
        "bbox": [10.2, 45.1, 10.4, 45.2],
        "properties": {
            "datetime": "2023-06-01T10:16:01.024Z",
            "platform": "sentinel-2a",
            "constellation": "sentinel-2",
            "grid:code": "MGRS-32TNN",
            **properties,
        },
        "links": [],
        "assets": assets,
    }


def cdse_item(level: str, base: str, spec: SafeSpec) -> Document:
    """As Copernicus Data Space has it, with all links below `base`."""
    root = f"{base}/{spec.name}.SAFE"
    images = f"{root}/{spec.granule}/IMG_DATA"
    stamp = "T32TNN_20230601T101601"
    other = {
        "auth:refs": ["s3"],
        "storage:refs": ["cdse-s3", "creodias-s3"],
        "alternate": {"https": {"href": "https://zipper.invalid/value", "auth:refs": ["oidc"]}},
    }
    assets: Document = {
        "safe_manifest": {"href": f"{root}/manifest.safe", "roles": ["metadata"], **other},
        "product_metadata": {
            "href": f"{root}/MTD_MSI{level}.xml", "roles": ["metadata"], **other,
        },
        "granule_metadata": {
            "href": f"{root}/{spec.granule}/MTD_TL.xml", "roles": ["metadata"], **other,
        },
    }  # fmt: skip
    metres = {"B02": 10, "B8A": 20, "B10": 60, "AOT": 10, "WVP": 10}
    for band in spec.bands:
        key = band if level == "L1C" else f"{band}_{metres[band]}m"
        folder = images if level == "L1C" else f"{images}/R{metres[band]}m"
        layer = {} if band in ("AOT", "WVP") else {"bands": [{"name": band}]}
        assets[key] = {
            "href": f"{folder}/{stamp}_{key}.jp2",
            "type": "image/jp2",
            "roles": ["data"],
            **layer,
            "data_type": "uint16",
            "nodata": 0,
            "raster:scale": 0.0001,
            "raster:offset": -0.1,
            "gsd": metres[band],
            "proj:code": f"EPSG:{EPSG}",
            **place(metres[band], spec),
            **other,
        }
    document = item(
        spec.name,
        f"sentinel-2-{level.lower()}",
        assets,
        **{
            "processing:level": level[:2],
            "product:type": f"S2MSI{level[1:]}",
            "processing:version": spec.baseline,
        },
    )
    return {**document, "stac_version": "1.1.0"}


def earth_search_item(
    collection: str, href: str, spec: SafeSpec, offset: float = -0.1, **properties: Any
) -> Document:
    """As Earth Search has it, with one band."""
    raster = {"nodata": 0, "data_type": "uint16", "spatial_resolution": 10}
    raster |= {"scale": 0.0001, "offset": offset}
    asset = {
        "eo:bands": [{"name": "blue", "common_name": "blue"}],
        "gsd": 10,
        "raster:bands": [raster],
        "roles": ["data", "reflectance"],
        **place(10, spec),
    }
    assets = {"blue": {"href": href, **asset}}
    if collection == "sentinel-2-l2a":
        assets["blue-jp2"] = {"href": href, "type": "image/jp2", **asset}
    level = "1C" if "l1c" in collection else "2A"
    return item(
        f"S2A_32TNN_20230601_0_L{level}",
        collection,
        assets,
        **{
            "proj:epsg": EPSG,
            "s2:product_type": f"S2MSI{level}",
            "s2:processing_baseline": spec.baseline,
            **properties,
        },
    )
