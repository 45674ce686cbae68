"""A SAFE folder on disk: its documents, its STAC item, the checksums of its files."""

import logging
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import pystac
import stactools.sentinel2.stac
from antimeridian import FixWindingWarning
from lxml import etree

from kappamask_catalog.sources.assets import asset_band
from kappamask_catalog.sources.calibration import parse_calibrations, parse_level
from kappamask_catalog.sources.documents import read_xml
from kappamask_catalog.sources.grid import ProductGrid, parse_granule_grid
from kappamask_catalog.sources.rasters import Checksum
from kappamask_udf.errors import CorruptDataError, KappamaskError, ProductError
from kappamask_udf.pixels import Calibration

logger = logging.getLogger(__name__)

PRODUCT_DOCUMENTS = ("MTD_MSIL1C.xml", "MTD_MSIL2A.xml")
MANIFEST = "manifest.safe"
# stactools takes a folder for a product only if its name ends so. It is given this name and a way
# to read through it, and the paths in its answer are put right.
_ALIAS = "/product.SAFE"


@dataclass(frozen=True)
class SafeFolder:
    """The parts of a SAFE product that are needed to describe it."""

    root: Path
    """Folder of the product."""
    document: Path
    """MTD_MSIL1C.xml or MTD_MSIL2A.xml."""
    granule: Path
    """MTD_TL.xml of the only granule."""


def is_safe_folder(path: Path) -> bool:
    """Whether a folder has what makes it a product."""
    return any((path / name).is_file() for name in (MANIFEST, *PRODUCT_DOCUMENTS))


def locate_safe(root: Path, document: Path | None = None) -> SafeFolder:
    """Finds the documents of a product.

    Args:
        root: folder of the product.
        document: its metadata document if the caller named it.

    Raises:
        ProductError: a document or the granule is missing, or there are several granules.
    """
    documents = [root / name for name in PRODUCT_DOCUMENTS if (root / name).is_file()]
    if document is None:
        if len(documents) != 1:
            raise ProductError(
                f"{root} must hold one of {' and '.join(PRODUCT_DOCUMENTS)}, found {len(documents)}"
                "; it is no complete SAFE product"
            )
        document = documents[0]
    granules = sorted(root.glob("GRANULE/*/MTD_TL.xml"))
    if not granules:
        raise ProductError(
            f"{root} has no granule: GRANULE/*/MTD_TL.xml is missing; get the whole product"
        )
    if len(granules) > 1:
        raise ProductError(
            f"{root} has {len(granules)} granules, one is needed; products from before December "
            "2016 must be split"
        )
    return SafeFolder(root, document, granules[0])


def build_safe_item(safe: SafeFolder) -> pystac.Item:
    """The STAC item of a SAFE product, with calibrations from its own metadata.

    Raises:
        ProductError: the metadata is incomplete or cannot be understood.
    """
    product = read_xml(str(safe.document))
    level = parse_level(product, safe.document.name)
    grid = parse_granule_grid(read_xml(str(safe.granule)), safe.granule.name)
    if not (safe.root / MANIFEST).is_file():
        logger.warning("%s has no %s; its checksums are not verified", safe.root.name, MANIFEST)
    item = _create_item(safe)
    table = parse_calibrations(product, level, safe.document.name)
    for key, asset in list(item.assets.items()):
        asset.href = _real_path(safe, asset.href)
        if "metadata" in (asset.roles or ()) and not Path(asset.href).is_file():
            del item.assets[key]
            continue
        band = asset_band(key, asset)
        if band in table:
            _correct_scale(asset, table[band])
        _correct_place(asset, grid)
    return item


def _correct_scale(asset: pystac.Asset, calibration: Calibration) -> None:
    """Puts the product's own numbers where stactools has guessed them from the baseline."""
    for fields in asset.extra_fields.get("raster:bands", ()):
        fields["scale"] = 1 / calibration.quantification
        fields["offset"] = calibration.offset / calibration.quantification


def _correct_place(asset: pystac.Asset, grid: ProductGrid) -> None:
    """Puts right where a raster lies: stactools swaps rows and columns of one that is no square."""
    fields = asset.extra_fields
    shape = tuple(fields.get("proj:shape") or ())
    fitting = [metres for metres, own_shape in grid.shapes_yx.items() if own_shape == shape]
    if not fitting:
        return
    # A product of a few pixels has the same shape at several resolutions.
    told = [band.get("spatial_resolution") for band in fields.get("raster:bands", ())]
    resolution_m = next((metres for metres in fitting if metres in told), fitting[0])
    rows, cols = shape
    right, bottom = grid.left_m + cols * resolution_m, grid.top_m - rows * resolution_m
    fields["proj:bbox"] = [grid.left_m, bottom, right, grid.top_m]
    fields["proj:transform"] = list(grid.transform_at(resolution_m)[:6])


def _create_item(safe: SafeFolder) -> pystac.Item:
    """What stactools makes of the product, with its exceptions translated."""
    with tempfile.TemporaryDirectory(prefix="kappamask-") as folder:
        manifest = _write_manifest(safe, Path(folder))

        def real_href(href: str) -> str:
            inner = _real_path(safe, href)
            return str(manifest) if Path(inner).name == MANIFEST else inner

        try:
            with warnings.catch_warnings():
                # ESA writes footprints clockwise; they are turned, which is right and no news.
                warnings.simplefilter("ignore", FixWindingWarning)
                item: pystac.Item = stactools.sentinel2.stac.create_item(
                    _ALIAS, read_href_modifier=real_href
                )
        except KappamaskError:
            raise
        except FileNotFoundError as error:
            raise ProductError(
                f"{safe.root.name} names a file that is missing: {error.filename}; get the whole "
                "product"
            ) from error
        # stactools raises what happens to be raised, from KeyError to bare Exception.
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise CorruptDataError(
                f"the metadata of {safe.root.name} cannot be understood ({reason}); get the "
                "product again"
            ) from error
    return item


def _real_path(safe: SafeFolder, href: str) -> str:
    """Path of a file that stactools names under the alias.

    Raises:
        ProductError: the metadata names a file outside of the product.
    """
    inner = os.path.normpath(href)
    if not inner.startswith(_ALIAS + "/"):
        raise ProductError(f"{safe.root.name} names a file outside of itself: {href}")
    return str(safe.root / inner[len(_ALIAS) + 1 :])


def _write_manifest(safe: SafeFolder, folder: Path) -> Path:
    """A manifest with what stactools looks up.

    The product's own may be lost or lack entries without which stactools fails although it does
    not need them, those of INSPIRE.xml and MTD_DS.xml.
    """
    datastrips = sorted(safe.root.glob("DATASTRIP/*/MTD_DS.xml"))
    level = "1C" if "1C" in safe.document.name else "2A"
    section = etree.Element("dataObjectSection")
    for identifier, path in (
        (f"S2_Level-{level}_Product_Metadata", safe.document),
        (f"S2_Level-{level}_Tile1_Metadata", safe.granule),
        (f"S2_Level-{level}_Datastrip1_Metadata", (*datastrips, safe.root / "MTD_DS.xml")[0]),
        ("INSPIRE_Metadata", safe.root / "INSPIRE.xml"),
    ):
        data_object = etree.SubElement(section, "dataObject", ID=identifier)
        stream = etree.SubElement(data_object, "byteStream")
        etree.SubElement(stream, "fileLocation", href=path.relative_to(safe.root).as_posix())
    root = etree.Element("XFDU")
    root.append(section)
    path = folder / MANIFEST
    path.write_bytes(etree.tostring(root))
    return path


def read_checksums(manifest: Path) -> dict[Path, Checksum]:
    """Checksums of the files of a product by their paths; none where there is no manifest."""
    if not manifest.is_file():
        return {}
    checksums: dict[Path, Checksum] = {}
    for stream in read_xml(str(manifest)).iter("{*}byteStream"):
        location = next(stream.iter("{*}fileLocation"), None)
        checksum = next(stream.iter("{*}checksum"), None)
        if location is None or checksum is None:
            continue
        path = Path(os.path.normpath(manifest.parent / (location.get("href") or "")))
        digest = (checksum.text or "").strip()
        if digest:
            checksums[path] = Checksum(checksum.get("checksumName") or "", digest)
    return checksums
