"""`manifest.safe`, `INSPIRE.xml` and `MTD_DS.xml`: what a SAFE folder is and holds."""

import hashlib
from pathlib import Path

from kappamask_catalog.scene.geometry import RELATIVE_ORBIT
from kappamask_catalog.scene.layout import ProductLayout, iso_stamp
from kappamask_catalog.scene.product_metadata import position_list
from kappamask_catalog.scene.xmltree import GML, Node, node, psd_root, root

_SAFE = "http://www.esa.int/safe/sentinel/1.1"
_XFDU = "urn:ccsds:schema:xfdu:1"
_GMD = "http://www.isotc211.org/2005/gmd"
_GCO = "http://www.isotc211.org/2005/gco"
_HASH_CHUNK_BYTES = 1 << 20

SIMULATED = (
    "Simulated product: the surface is a real Sentinel-2 Level-1C acquisition, the clouds, their "
    "shadows, the date and the noise are computed. Contains modified Copernicus Sentinel data."
)
"""Said in the product itself, so that nobody takes it for an acquisition."""


def build_manifest(layout: ProductLayout, folder: Path) -> Node:
    """The list of all files under `folder`, which must be complete but for the manifest."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    relative = [path.relative_to(folder).as_posix() for path in paths]
    identifiers = [_object_id(layout, name) for name in relative]
    digits = layout.level[1:]
    return root(
        f"{{{_XFDU}}}XFDU",
        {"gml": GML, "safe": _SAFE, "xfdu": _XFDU},
        node("informationPackageMap", _package_map(digits, identifiers)),
        _metadata_section(layout),
        node(
            "dataObjectSection",
            *(
                _data_object(layout, identifier, name, path)
                for identifier, name, path in zip(identifiers, relative, paths, strict=True)
            ),
        ),
        version=f"esa/safe/sentinel/1.1/sentinel-2/msi/archive_l{digits.lower()}_user_product",
    )


def _object_id(layout: ProductLayout, name: str) -> str:
    digits = layout.level[1:]
    known = {
        layout.product_metadata: f"S2_Level-{digits}_Product_Metadata",
        "INSPIRE.xml": "INSPIRE_Metadata",
        f"{layout.datastrip_folder}/MTD_DS.xml": f"S2_Level-{digits}_Datastrip1_Metadata",
        f"{layout.granule_folder}/MTD_TL.xml": f"S2_Level-{digits}_Tile1_Metadata",
    }
    if name in known:
        return known[name]
    stem = Path(name).stem
    if "/IMG_DATA/" in name:
        return f"IMG_DATA_Band_{'_'.join(stem.split('_')[2:])}_Tile1_Data"
    return f"{stem}_Tile1_Data"


def _package_map(digits: str, identifiers: list[str]) -> Node:
    unit = f"{{{_XFDU}}}contentUnit"
    parts = []
    for identifier in identifiers:
        kind = "Metadata Unit" if "Metadata" in identifier else "Measurement Data Unit"
        part = node(unit, node("dataObjectPointer", dataObjectID=identifier), unitType=kind)
        part.set("ID", identifier.removesuffix("_Data") + "_Unit")
        parts.append(part)
    return node(
        unit,
        *parts,
        dmdID="acquisitionPeriod platform",
        pdiID="processing",
        textInfo=f"SENTINEL-2 MSI Level-{digits} User Product",
        unitType=f"Product_Level-{digits}",
    )


def _data_object(layout: ProductLayout, identifier: str, name: str, path: Path) -> Node:
    # MD5 is what products had before baseline 04.00; it guards against damage, not against fraud
    algorithm, digest = (
        ("SHA3-256", hashlib.sha3_256())
        if layout.has_offset
        else ("MD5", hashlib.md5(usedforsecurity=False))
    )
    with path.open("rb") as stream:
        while chunk := stream.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    is_xml = path.suffix == ".xml"
    return node(
        "dataObject",
        node(
            "byteStream",
            node("fileLocation", locatorType="URL", href=f"./{name}"),
            node("checksum", digest.hexdigest(), checksumName=algorithm),
            mimeType="text/xml" if is_xml else "application/octet-stream",
            size=path.stat().st_size,
        ),
        ID=identifier,
    )


def _metadata_section(layout: ProductLayout) -> Node:
    acquisition = layout.scene.acquisition
    safe = f"{{{_SAFE}}}"
    period = node(
        f"{safe}acquisitionPeriod",
        node(f"{safe}startTime", iso_stamp(acquisition.datatake_start)),
    )
    orbit = node(
        f"{safe}orbitReference",
        node(
            f"{safe}orbitNumber",
            f"{acquisition.absolute_orbit:06d}",
            groundTrackDirection="descending",
            type="start",
        ),
        node(f"{safe}relativeOrbitNumber", RELATIVE_ORBIT, type="start"),
    )
    platform = node(
        f"{safe}platform",
        node(f"{safe}familyName", "SENTINEL"),
        node(f"{safe}number", acquisition.spacecraft[1:]),
        node(
            f"{safe}instrument",
            node(f"{safe}familyName", "Multi-Spectral Instrument", abbreviation="MSI"),
        ),
    )
    processing = node(
        f"{safe}processing",
        name=f"Simulation of a Level-{layout.level[1:]} User Product",
        start=iso_stamp(layout.generation_time),
    )
    frames = node(
        f"{safe}frameSet",
        node(
            f"{safe}footPrint",
            node(f"{{{GML}}}coordinates", position_list(layout)),
            srsName="http://www.opengis.net/gml/srs/epsg.xml#4326",
        ),
    )
    return node(
        "metadataSection",
        _metadata_object("acquisitionPeriod", "Acquisition Period", period),
        _metadata_object("measurementOrbitReference", "Orbit Reference", orbit),
        _metadata_object("platform", "Platform Description", platform),
        _metadata_object("processing", "Processing", processing, "PDI", "PROVENANCE"),
        _metadata_object("measurementFrameSet", "Frame Set", frames),
    )


def _metadata_object(
    identifier: str,
    text: str,
    content: Node,
    category: str = "DMD",
    classification: str = "DESCRIPTION",
) -> Node:
    return node(
        "metadataObject",
        node(
            "metadataWrap",
            node("xmlData", content),
            mimeType="text/xml",
            vocabularyName="Sentinel-SAFE",
            textInfo=text,
        ),
        ID=identifier,
        category=category,
        classification=classification,
    )


def build_inspire(layout: ProductLayout) -> Node:
    """The ISO 19139 record of the product, which also says that it is simulated."""
    gmd = f"{{{_GMD}}}"
    citation = node(f"{gmd}CI_Citation", node(f"{gmd}title", _text(layout.product_name)))
    identification = node(
        f"{gmd}MD_DataIdentification",
        node(f"{gmd}citation", citation),
        node(f"{gmd}abstract", _text(SIMULATED)),
    )
    statement = node(f"{gmd}LI_Lineage", node(f"{gmd}statement", _text(SIMULATED)))
    return root(
        f"{gmd}MD_Metadata",
        {"gmd": _GMD, "gco": _GCO},
        node(f"{gmd}fileIdentifier", _text(layout.product_name.removesuffix(".SAFE"))),
        node(
            f"{gmd}dateStamp",
            node(f"{{{_GCO}}}Date", f"{layout.generation_time:%Y-%m-%d}"),
        ),
        node(f"{gmd}identificationInfo", identification),
        node(
            f"{gmd}dataQualityInfo",
            node(f"{gmd}DQ_DataQuality", node(f"{gmd}lineage", statement)),
        ),
    )


def _text(text: str) -> Node:
    return node(f"{{{_GCO}}}CharacterString", text)


def build_datastrip_metadata(layout: ProductLayout) -> Node:
    """The general part of `MTD_DS.xml`; orbit and attitude of a real datastrip are left out."""
    acquisition = layout.scene.acquisition
    digits = layout.level[1:]
    datatake = node(
        "Datatake_Info",
        node("SPACECRAFT_NAME", f"Sentinel-{acquisition.spacecraft[1:]}"),
        node("DATATAKE_TYPE", "INS-NOBS"),
        node("DATATAKE_SENSING_START", iso_stamp(acquisition.datatake_start)),
        node("SENSING_ORBIT_NUMBER", RELATIVE_ORBIT),
        node("SENSING_ORBIT_DIRECTION", "DESCENDING"),
        datatakeIdentifier=layout.datatake_id,
    )
    times = node(
        "Datastrip_Time_Info",
        node("DATASTRIP_SENSING_START", iso_stamp(acquisition.datastrip_start)),
        node("DATASTRIP_SENSING_STOP", iso_stamp(acquisition.sensing_time)),
    )
    return psd_root(
        f"S2_PDI_Level-{digits}_Datastrip_Metadata.xsd",
        f"Level-{digits}_DataStrip_ID",
        node(
            "General_Info",
            datatake,
            times,
            node("Processing_Info", node("PROCESSING_BASELINE", layout.baseline)),
        ),
    )
