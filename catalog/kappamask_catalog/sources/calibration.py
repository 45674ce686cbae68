"""What a digital number means: quantification and radiometric offset, in this one place.

The product's own MTD_MSIL1C.xml / MTD_MSIL2A.xml is believed first, then what a STAC asset says
of itself. Nothing is guessed from the processing baseline.
"""

from collections.abc import Mapping
from typing import Any

from lxml import etree

from kappamask_catalog.sources.documents import find_text
from kappamask_udf.bands import L2A_LAYERS, MSI_BANDS
from kappamask_udf.errors import CorruptDataError, ProductError
from kappamask_udf.pixels import Calibration, Level

OFFSET_BASELINE = (4, 0)
"""From this processing baseline on products have offsets. Source: ESA, Sentinel-2 processing
baseline 04.00, 25 January 2022."""
# Flags of Element 84's catalogue, newer and older, for rasters from which the offset has been
# subtracted already; its `raster:bands` may still name one, the flag is what counts.
# Source: github.com/Element84/earth-search issue 9.
OFFSET_APPLIED_FLAGS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_TAGS: dict[Level, tuple[str, str]] = {
    "L1C": ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"),
    "L2A": ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"),
}
# Offsets in reflectance are short decimals; this many places of a DN undo their rounding.
_DN_DECIMALS = 6


def parse_level(root: etree._Element, source: str) -> Level:
    """Processing level of a product by its MTD_MSIL1C.xml / MTD_MSIL2A.xml.

    Raises:
        ProductError: it is another document, or another level.
    """
    text = (find_text(root, "PROCESSING_LEVEL") or "").replace("p", "")
    levels: dict[str, Level] = {"Level-1C": "L1C", "Level-2A": "L2A"}
    if text not in levels:
        raise ProductError(
            f"{source} names processing level {text or 'none'!r}; Level-1C or Level-2A is needed"
        )
    return levels[text]


def parse_band_ids(root: etree._Element | None) -> dict[str, str]:
    """Band names by ESA's band id, from `Spectral_Information_List` or else in standard order.

    Args:
        root: root element of MTD_MSIL1C.xml / MTD_MSIL2A.xml, `None` where that is not at hand.

    Returns:
        For example `{"0": "B01", ..., "8": "B8A", ..., "12": "B12"}`.
    """
    names = {band.name for band in MSI_BANDS}
    listed = {
        element.get("bandId", ""): band_name(element.get("physicalBand", ""))
        for element in (() if root is None else root.iter("{*}Spectral_Information"))
    }
    told = {band_id: name for band_id, name in listed.items() if name in names}
    return told or {str(index): band.name for index, band in enumerate(MSI_BANDS)}


def band_name(text: str) -> str:
    """`B02` for `B2`, `b02` or `B02`; other text in upper case."""
    name = text.strip().upper()
    return f"B0{name[1]}" if len(name) == 2 and name[0] == "B" and name[1].isdigit() else name


def parse_calibrations(root: etree._Element, level: Level, source: str) -> dict[str, Calibration]:
    """Calibration of every band, from MTD_MSIL1C.xml / MTD_MSIL2A.xml.

    Args:
        root: root element of the document.
        level: level of the product.
        source: name of the document for messages.

    Returns:
        By band name. A band without an offset in a list of offsets is left out; AOT and WVP have
        a quantification of their own and no offset.

    Raises:
        CorruptDataError: the quantification is missing or unusable, or offsets are missing
            although the processing baseline has them.
    """
    tag, offset_tag = _TAGS[level]
    quantification = _positive(root, tag, source)
    if quantification is None:
        raise CorruptDataError(f"{source} has no {tag}, so its numbers cannot be read")
    offsets = _parse_offsets(root, offset_tag, source)
    if not offsets and _has_offsets(find_text(root, "PROCESSING_BASELINE")):
        raise CorruptDataError(
            f"{source} has no {offset_tag}, which processing baseline "
            f"{find_text(root, 'PROCESSING_BASELINE')} needs"
        )
    table = {
        name: Calibration(quantification, offsets.get(band_id, 0.0))
        for band_id, name in parse_band_ids(root).items()
        if band_id in offsets or not offsets
    }
    for layer in L2A_LAYERS if level == "L2A" else ():
        own = _positive(root, f"{layer.name}_QUANTIFICATION_VALUE", source)
        if own is not None:
            table[layer.name] = Calibration(own)
    return table


def _parse_offsets(root: etree._Element, tag: str, source: str) -> dict[str, float]:
    offsets: dict[str, float] = {}
    for element in root.iter("{*}" + tag):
        band_id = element.get("band_id") or element.get("bandId") or ""
        try:
            offsets[band_id] = float(element.text or "")
        except ValueError as error:
            raise CorruptDataError(
                f"{source}: {tag} of band id {band_id!r} is no number: {element.text!r}"
            ) from error
    return offsets


def _positive(root: etree._Element, tag: str, source: str) -> float | None:
    text = find_text(root, tag)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise CorruptDataError(f"{source}: {tag} must be a positive number, got {text!r}")
    return value


def _has_offsets(baseline: str | None) -> bool:
    parts = (baseline or "").split(".")
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        return False
    return (int(parts[0]), int(parts[1])) >= OFFSET_BASELINE


def is_offset_applied(properties: Mapping[str, Any]) -> bool:
    """Whether an item says that its rasters have the offset applied already."""
    return any(properties.get(flag) is True for flag in OFFSET_APPLIED_FLAGS)


def asset_calibration(
    fields: Mapping[str, Any], band: str, offset_applied: bool, baseline: str | None
) -> Calibration:
    """Calibration of a band from the `scale` and `offset` of its STAC asset.

    Args:
        fields: of the asset: `raster:bands`, or `bands` / `raster:scale` of STAC 1.1.
        band: band name.
        offset_applied: see `is_offset_applied`.
        baseline: processing baseline, for example `04.00`.

    Raises:
        ProductError: the asset does not say it.
    """
    scale, offset = (_raster_field(fields, name) for name in ("scale", "offset"))
    if band in {layer.name for layer in L2A_LAYERS}:
        # Copernicus Data Space gives AOT and WVP the scale and offset of the spectral bands, while
        # ESA has no offset for them: where one is told, the scale is not believed, either.
        scale, offset = (None, offset) if offset else (scale, 0.0)
    if offset_applied:
        offset = 0.0
    if offset is None and baseline is not None and not _has_offsets(baseline):
        offset = 0.0
    if scale is None or offset is None or not 0 < scale < float("inf"):
        raise ProductError(
            f"the calibration of band {band} is unknown: no product_metadata asset could be read "
            f"and the asset has scale {scale} and offset {offset}; open the SAFE product, or an "
            "item that has one of them"
        )
    return Calibration(round(1 / scale, _DN_DECIMALS), round(offset / scale, _DN_DECIMALS))


def _raster_field(fields: Mapping[str, Any], name: str) -> float | None:
    places: list[Any] = [*(fields.get("raster:bands") or ()), *(fields.get("bands") or ()), fields]
    for place in places:
        if not isinstance(place, Mapping):
            continue
        keys = (f"raster:{name}",) if place is fields else (name, f"raster:{name}")
        for key in keys:
            value = place.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
    return None
