"""Names of Sentinel-2 products, and which products show the same acquisition.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), compact naming convention:
MMM_MSIXXX_YYYYMMDDTHHMMSS_Nxxyy_ROOO_Txxxxx_<Product Discriminator>.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pystac

_PRODUCT_NAME = re.compile(
    r"(?P<platform>S2[A-Z])_MSI(?P<level>L1C|L2A)_(?P<datatake>\d{8}T\d{6})_"
    r"N(?P<baseline>\d{4})_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[C-X][A-Z]{2})_"
    r"(?P<discriminator>\d{8}T\d{6})"
)
_NAMED_IN = ("s2:product_uri", "product:id", "sentinel:product_id", "s2:product_id")
"""Where catalogues keep the product's own name, by falling reliability."""
_DATASTRIP_SENSING = re.compile(r"_S(\d{8}T\d{6})")
_DATATAKE_START = re.compile(r"_(\d{8}T\d{6})_")
_COMPACT_TIME = "%Y%m%dT%H%M%S"


@dataclass(frozen=True)
class ProductName:
    """The parts of a product's name."""

    text: str
    platform: str
    level: str
    datatake: datetime
    """Start of sensing of the datatake."""
    baseline: str
    """Such as `05.11`."""
    tile: str
    """MGRS tile such as `18SVG`."""
    discriminator: datetime
    """Tells products of one datatake, tile and baseline apart; near the time of processing."""


def parse_product_name(text: str) -> ProductName | None:
    """The name in a file name, path or id, `None` if there is none."""
    match = _PRODUCT_NAME.search(text)
    if match is None:
        return None
    baseline = match["baseline"]
    return ProductName(
        text=match[0],
        platform=match["platform"],
        level=match["level"],
        datatake=_parse_time(match["datatake"]),
        baseline=f"{baseline[:2]}.{baseline[2:]}",
        tile=match["tile"],
        discriminator=_parse_time(match["discriminator"]),
    )


def product_name(item: pystac.Item) -> str:
    """The full name of an item's product, or the item's id where nothing tells it.

    Ids of items often leave out baseline and time of processing, so two products can share one.
    """
    for text in (*(str(item.properties.get(field, "")) for field in _NAMED_IN), item.id):
        name = parse_product_name(text)
        if name is not None:
            return name.text
    return item.id


def acquisition_key(properties: Mapping[str, Any], name: str, when: datetime) -> str:
    """What all products of one acquisition share: platform, tile, datatake and datastrip.

    Products of one datatake and tile can come from different datastrips, of different ground
    stations; each of them holds a part of the tile, so none stands for another.

    Args:
        properties: of the product's item, or of one that carries its `s2:` fields.
        name: full name of the product, for what the properties do not tell.
        when: the item's time, which stands for the datastrip where nothing tells it.
    """
    told = parse_product_name(name)
    platform = str(properties.get("platform") or (told.platform if told else "unknown")).lower()
    platform = platform.replace("sentinel-", "s")
    tile = str(properties.get("grid:code") or (told.tile if told else "unknown"))
    datatake = _first(_DATATAKE_START, properties.get("s2:datatake_id"))
    if datatake is None:
        datatake = f"{told.datatake if told else when:{_COMPACT_TIME}}"
    strip = _first(_DATASTRIP_SENSING, properties.get("s2:datastrip_id"))
    return "_".join(
        (platform, tile.removeprefix("MGRS-"), datatake, strip or f"{when:{_COMPACT_TIME}}")
    )


@dataclass(frozen=True, order=True)
class ProductVersion:
    """Which processing of an acquisition a product is; a larger one takes the place of smaller."""

    baseline: tuple[int, ...]
    generated: datetime

    def __str__(self) -> str:
        baseline = ".".join(f"{part:02}" for part in self.baseline)
        return f"{baseline}-{self.generated:{_COMPACT_TIME}}"


def product_version(properties: Mapping[str, Any], name: str) -> ProductVersion:
    """Baseline and time of processing, from the item's fields or the product's name."""
    told = parse_product_name(name)
    baseline = str(properties.get("s2:processing_baseline") or (told.baseline if told else ""))
    generated = _read_time(properties.get("s2:generation_time"))
    if generated is None:
        generated = told.discriminator if told else datetime.min.replace(tzinfo=UTC)
    return ProductVersion(tuple(int(part) for part in re.findall(r"\d+", baseline)), generated)


def _first(pattern: re.Pattern[str], text: Any) -> str | None:
    match = pattern.search(str(text or ""))
    return None if match is None else match[1]


def _parse_time(text: str) -> datetime:
    return datetime.strptime(text, _COMPACT_TIME).replace(tzinfo=UTC)


def _read_time(text: Any) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
