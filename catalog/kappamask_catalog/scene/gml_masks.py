"""Vector masks of products before processing baseline 04.00, in ESA's GML layout."""

from dataclasses import dataclass

from shapely.geometry import Polygon

from kappamask_catalog.scene.footprint import (
    data_outline,
    detector_outlines,
    polygons,
    scene_outline,
    window_outline,
)
from kappamask_catalog.scene.geometry import EPSG
from kappamask_catalog.scene.layout import ProductLayout
from kappamask_catalog.scene.xmltree import GML_3_2, XSI, Node, node, root

_EOP = "http://www.opengis.net/eop/2.0"
_MASK_TYPES = "urn:gs2:S2PDGS:maskType"


@dataclass(frozen=True)
class Feature:
    """One polygon of a mask, EPSG:32618 metres."""

    identifier: str
    mask_type: str
    outline: Polygon


def build_gml_mask(layout: ProductLayout, kind: str, band: str) -> Node:
    """The document of one mask of one band.

    Args:
        layout: the product.
        kind: one of `layout.VECTOR_MASKS`.
        band: `B01` to `B12`.
    """
    features = _features(layout, kind, band)
    tile = layout.granule_id.replace(f"MSI_{layout.level}_TL", kind).rsplit("_", 1)[0]
    identifier = f"{tile}_{band}_MSI{layout.level}"
    content = [
        node(f"{{{GML_3_2}}}name", f"{kind} pixels mask from data-strip {identifier}"),
        _bounds(layout, features),
    ]
    if features:
        members = (_member(number, feature) for number, feature in enumerate(features))
        content.append(node(f"{{{_EOP}}}maskMembers", *members))
    document = root(f"{{{_EOP}}}Mask", {"eop": _EOP, "gml": GML_3_2, "xsi": XSI}, *content)
    document.set(f"{{{GML_3_2}}}id", identifier)
    return document


def _features(layout: ProductLayout, kind: str, band: str) -> list[Feature]:
    scene = layout.scene
    if kind == "MSK_DETFOO":
        return [
            Feature(
                f"detector_footprint-{band}-{detector:02d}-{number}",
                "DETECTOR_FOOTPRINT",
                outline,
            )
            for number, (detector, outline) in enumerate(detector_outlines(scene).items())
        ]
    if kind == "MSK_NODATA" and scene.missing_share > 0:
        gap = scene_outline(scene).difference(data_outline(scene))
        return [
            Feature(f"QT_NODATA_PIXELS-{band}-{number}", "QT_NODATA_PIXELS", part)
            for number, part in enumerate(polygons(gap))
        ]
    if kind == "MSK_TECQUA" and scene.lost is not None:
        outline = window_outline(scene, scene.lost).intersection(scene_outline(scene))
        return [
            Feature(f"MSI_LOST-{band}-{number}", "MSI_LOST", part)
            for number, part in enumerate(polygons(outline))
        ]
    return []


def _bounds(layout: ProductLayout, features: list[Feature]) -> Node:
    boxes = [feature.outline.bounds for feature in features]
    west, south, east, north = (
        (
            min(box[0] for box in boxes),
            min(box[1] for box in boxes),
            max(box[2] for box in boxes),
            max(box[3] for box in boxes),
        )
        if boxes
        else scene_outline(layout.scene).bounds
    )
    envelope = node(
        f"{{{GML_3_2}}}Envelope",
        node(f"{{{GML_3_2}}}lowerCorner", f"{west:.12g} {south:.12g} 0"),
        node(f"{{{GML_3_2}}}upperCorner", f"{east:.12g} {north:.12g} 0"),
        srsName=f"urn:ogc:def:crs:EPSG:8.7:{EPSG}",
    )
    return node(f"{{{GML_3_2}}}boundedBy", envelope)


def _member(number: int, feature: Feature) -> Node:
    ring = node(f"{{{GML_3_2}}}LinearRing", _positions(feature.outline))
    polygon = node(f"{{{GML_3_2}}}Polygon", node(f"{{{GML_3_2}}}exterior", ring))
    polygon.set(f"{{{GML_3_2}}}id", f"{feature.mask_type}.{number}_Polygon")
    member = node(
        f"{{{_EOP}}}MaskFeature",
        node(f"{{{_EOP}}}maskType", feature.mask_type, codeSpace=_MASK_TYPES),
        node(f"{{{_EOP}}}extentOf", polygon),
    )
    member.set(f"{{{GML_3_2}}}id", feature.identifier)
    return member


def _positions(outline: Polygon) -> Node:
    """The ring as `x y height` triples, heights 0 as on the plains of real products."""
    triples = " ".join(f"{x:.12g} {y:.12g} 0" for x, y, *_ in outline.exterior.coords)
    return node(f"{{{GML_3_2}}}posList", triples, srsDimension=3)
