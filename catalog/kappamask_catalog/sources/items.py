"""A STAC item of a Sentinel-2 product from a file or a server, and what it tells of the product."""

from collections.abc import Mapping
from typing import Any

import pystac
from pystac.errors import STACError, STACTypeError

from kappamask_catalog.sources.documents import (
    is_url,
    local_path,
    parse_json_object,
    read_document,
)
from kappamask_udf.errors import ProductError
from kappamask_udf.pixels import Level

_PLATFORM_WORDS = ("sentinel-2", "sentinel2", "sentinel-s2")
# Where catalogues tell the level, by falling precision: Copernicus Data Space, stactools, others.
_LEVEL_FIELDS = (
    "processing:level", "product:type", "s2:product_type", "s2:processing_level", "s2:product_uri",
    "sentinel:product_id", "s2:tile_id", "s2:granule_id",
)  # fmt: skip
_BASELINE_FIELDS = (
    "s2:processing_baseline", "sentinel2:processing_baseline", "sentinel:processing_baseline",
    "processing:version",
)  # fmt: skip


def read_item(location: str) -> pystac.Item:
    """The item at a path or URL, brought to the present STAC version, with absolute hrefs.

    Raises:
        ProductError: it cannot be read, is no STAC item or not of Sentinel-2.
    """
    document = parse_json_object(read_document(location), location)
    kind = document.get("type")
    if kind != "Feature" or "assets" not in document:
        raise ProductError(
            f"{location} is no STAC item but {_describe(document)}; give the item of one product"
        )
    path = local_path(location)
    href = location if is_url(location) or path is None else str(path.resolve())
    try:
        item = pystac.Item.from_dict(document, href=href, migrate=True, preserve_dict=False)
        item.make_asset_hrefs_absolute()
    # pystac raises what happens to be raised where a field has the wrong type.
    except (
        STACError, STACTypeError, KeyError, ValueError, TypeError, AttributeError,
    ) as error:  # fmt: skip
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ProductError(f"{location} is no valid STAC item ({reason})") from error
    return checked_item(item, location)


def checked_item(item: pystac.Item, location: str) -> pystac.Item:
    """The item, if it is one of Sentinel-2.

    Raises:
        ProductError: it is of something else.
    """
    if not _is_sentinel2(item):
        raise ProductError(
            f"{location} is not of Sentinel-2: platform {item.properties.get('platform')!r}, "
            f"collection {item.collection_id!r}"
        )
    return item


def _describe(document: Mapping[str, Any]) -> str:
    kind = document.get("type")
    return f"a {kind}" if kind in ("Collection", "Catalog", "FeatureCollection") else "other JSON"


def _is_sentinel2(item: pystac.Item) -> bool:
    told = [item.properties.get(key) for key in ("constellation", "platform", "collection")]
    words = " ".join(str(word).lower() for word in (*told, item.collection_id) if word)
    return any(word in words for word in _PLATFORM_WORDS) or any(
        key.startswith("s2:") for key in item.properties
    )


def item_level(item: pystac.Item) -> Level:
    """Processing level by the item's fields.

    Raises:
        ProductError: none of them tells it.
    """
    told = [str(item.properties.get(field, "")) for field in _LEVEL_FIELDS]
    for text in (*told, item.collection_id or "", item.id):
        word = text.upper().replace("-", "")
        level: Level
        for level, marks in (("L1C", ("L1C", "MSI1C")), ("L2A", ("L2A", "MSI2A"))):
            if any(mark in word for mark in marks):
                return level
    raise ProductError(
        f"item {item.id} does not tell its processing level; it needs processing:level L1C or L2A"
    )


def item_baseline(item: pystac.Item) -> str | None:
    """Processing baseline such as `05.09`, `None` if the item does not tell it."""
    for field in _BASELINE_FIELDS:
        value = item.properties.get(field)
        if value is not None:
            return str(value)
    return None
