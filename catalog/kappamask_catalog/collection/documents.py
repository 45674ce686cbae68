"""Documents of the collections of masks, one per processing level, that follow their items."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kappamask_catalog.publish.classification import build_classification_classes
from kappamask_udf.classes import CLASS_STYLES, MaskClass
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, Level

Document = dict[str, Any]
COLLECTION_IDS: Mapping[Level, str] = {"L1C": "kappamask-l1c", "L2A": "kappamask-l2a"}
_EXTENSION = "https://stac-extensions.github.io/{}/schema.json"
_EXTENSIONS = (
    "classification/v2.0.0", "datacube/v2.2.0", "processing/v1.2.0", "raster/v2.0.0",
    "render/v2.0.0", "scientific/v1.0.0",
)  # fmt: skip
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_LEGAL_NOTICE = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
EMPTY_EXTENT = {
    "spatial": {"bbox": [[-180, -90, 180, 90]]},
    # The launch of Sentinel-2A.
    "temporal": {"interval": [["2015-06-23T00:00:00Z", None]]},
}
"""Of a collection without items."""
_LISTED = ("platform", "kappamask:model", "kappamask:model_version", "proj:code", "grid:code")
"""Properties whose values the summaries list."""
_RANGED = ("eo:cloud_cover", "kappamask:missing_percentage")
"""Properties whose smallest and largest values the summaries give."""
_MAX_LISTED = 200
"""Values of one property beyond which a summary would be longer than it is useful."""


def build_collection(
    level: Level, models: Sequence[ModelSpec], host: str | None = None
) -> Document:
    """The collection of a level's masks, before it has items.

    Args:
        level: of the products.
        models: that masks may be made with.
        host: who runs the service, for the providers.
    """
    title = f"Cloud masks of Sentinel-2 Level-{level[1:]}"
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [_EXTENSION.format(name) for name in _EXTENSIONS],
        "id": COLLECTION_IDS[level],
        "title": title,
        "description": (
            f"{title}, made by neural networks: every 10 m pixel is clear, cloud shadow, "
            "semi-transparent cloud, cloud or missing. Each item is the mask of one product by one "
            "version of one model, on the product's own UTM grid; `kappamask:model` says which. "
            "Where a product was processed again, the mask of the newest is in use and older ones "
            "are `deprecated`."
        ),
        "keywords": ["sentinel-2", "cloud mask", "cloud shadow", "kappamask", level.lower()],
        "license": "other",
        "providers": _providers(models, host),
        "extent": copy.deepcopy(EMPTY_EXTENT),
        "summaries": {
            "constellation": ["sentinel-2"],
            "gsd": [NATIVE_RESOLUTION_M],
            # What the R client of openEO looks for.
            "eo:bands": [{"name": "mask", "description": "Class of the pixel"}],
        },
        "item_assets": _item_assets(),
        "bands": [{"name": "mask", "description": "Class of the pixel"}],
        "cube:dimensions": _dimensions_of(EMPTY_EXTENT),
        "renders": {"classes": _render()},
        "sci:publications": _publications(models),
        "links": _links(models),
        "assets": {},
    }


def extend_collection(
    collection: Mapping[str, Any], items: Iterable[Mapping[str, Any]]
) -> Document:
    """The collection with extents and summaries that hold some more items too."""
    document: Document = copy.deepcopy(dict(collection))
    summaries = document["summaries"]
    is_first = "kappamask:model" not in summaries
    for item in items:
        _extend_extent(document, item, is_first)
        _extend_summaries(summaries, item["properties"])
        is_first = False
    document["cube:dimensions"] = _dimensions_of(document["extent"])
    return document


def _providers(models: Sequence[ModelSpec], host: str | None) -> list[Document]:
    providers: list[Document] = [
        {"name": "ESA", "roles": ["producer", "licensor"], "url": "https://sentinels.copernicus.eu"}
    ]
    for model in models:
        for provider in model.item["properties"].get("providers", ()):
            if provider["name"] not in [one["name"] for one in providers]:
                providers.append({**provider, "roles": ["producer"]})
    if host is not None:
        providers.append({"name": host, "roles": ["processor", "host"]})
    return providers


def _item_assets() -> Document:
    return {
        "mask": {
            "title": "Classes",
            "type": _COG,
            "roles": ["data", "cloud", "cloud-shadow"],
            "data_type": "uint8",
            "nodata": int(MaskClass.UNDEFINED),
            "gsd": NATIVE_RESOLUTION_M,
            "raster:sampling": "area",
            "raster:spatial_resolution": NATIVE_RESOLUTION_M,
            "classification:classes": build_classification_classes(),
            "bands": [{"name": "mask", "description": "Class of the pixel"}],
        },
        "probabilities": {
            "title": "Probability per class",
            "description": "Only where they were asked for",
            "type": _COG,
            "roles": ["data", "probability"],
            "data_type": "float32",
            "gsd": NATIVE_RESOLUTION_M,
            "bands": [
                {"name": one.stac_name, "description": f"Probability 0-1: {one.style.title}"}
                for one in MaskClass
            ],
        },
        "preview": {
            "title": "Classes in their colours",
            "type": "image/png",
            "roles": ["overview", "visual"],
        },
        "thumbnail": {"title": "Thumbnail", "type": "image/png", "roles": ["thumbnail"]},
    }


def _dimensions_of(extent: Mapping[str, Any]) -> Document:
    west, south, east, north = extent["spatial"]["bbox"][0]
    interval = extent["temporal"]["interval"][0]
    common = {"type": "spatial", "reference_system": 4326}
    return {
        "x": {**common, "axis": "x", "extent": [west, east]},
        "y": {**common, "axis": "y", "extent": [south, north]},
        "t": {"type": "temporal", "extent": list(interval)},
        "bands": {"type": "bands", "values": ["mask"]},
    }


def _render() -> Document:
    return {
        "title": "Classes",
        "assets": ["mask"],
        "nodata": int(MaskClass.UNDEFINED),
        "resampling": "nearest",
        "colormap": {str(int(one)): list(style.rgba) for one, style in CLASS_STYLES.items()},
    }


def _publications(models: Sequence[ModelSpec]) -> list[Document]:
    cited = {link["href"]: link.get("title", "") for link in _citations(models)}
    return [
        {"doi": href.partition("doi.org/")[2], "citation": title}
        for href, title in cited.items()
        if "doi.org/" in href
    ]


def _citations(models: Sequence[ModelSpec]) -> Iterable[Mapping[str, Any]]:
    return (
        link
        for model in models
        for link in model.item.get("links", ())
        if link.get("rel") == "cite-as"
    )


def _links(models: Sequence[ModelSpec]) -> list[Document]:
    cited = {link["href"]: link.get("title", "") for link in _citations(models)}
    return [
        {
            "rel": "license",
            "href": _LEGAL_NOTICE,
            "type": "application/pdf",
            "title": "Legal notice on the use of Copernicus Sentinel data",
        },
        *(
            {"rel": "cite-as", "href": href, "type": "text/html", "title": title}
            for href, title in cited.items()
        ),
        # Relative to the root of the service.
        *(
            {
                "rel": "mlm:model",
                "href": f"models/{model.name}",
                "type": "application/geo+json",
                "title": model.title,
                "mlm:name": model.name,
            }
            for model in models
        ),
    ]


def _extend_extent(document: Document, item: Mapping[str, Any], is_first: bool) -> None:
    # A box of six numbers has heights.
    (west, south), (east, north) = item["bbox"][:2], item["bbox"][len(item["bbox"]) // 2 :][:2]
    if west > east:
        west, east = -180, 180
    properties = item["properties"]
    start = properties.get("start_datetime") or properties["datetime"]
    end = properties.get("end_datetime") or properties["datetime"]
    if not is_first:
        box = document["extent"]["spatial"]["bbox"][0]
        west, south = min(west, box[0]), min(south, box[1])
        east, north = max(east, box[2]), max(north, box[3])
        known = document["extent"]["temporal"]["interval"][0]
        start, end = min(start, known[0]), max(end, known[1])
    document["extent"] = {
        "spatial": {"bbox": [[west, south, east, north]]},
        "temporal": {"interval": [[start, end]]},
    }


def _extend_summaries(summaries: Document, properties: Mapping[str, Any]) -> None:
    for name in _LISTED:
        if name in properties:
            values = {*summaries.get(name, ()), properties[name]}
            summaries[name] = sorted(values)[:_MAX_LISTED]
    for name in _RANGED:
        if name in properties:
            value = properties[name]
            known = summaries.get(name, {"minimum": value, "maximum": value})
            summaries[name] = {
                "minimum": min(known["minimum"], value),
                "maximum": max(known["maximum"], value),
            }
