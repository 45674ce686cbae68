"""From what the user gives to a product: every input becomes a STAC item first."""

import logging
import tempfile
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pystac
from lxml import etree

from kappamask_catalog.sources.archive import FileStore, Folder, SafeArchive, remove_folder
from kappamask_catalog.sources.assets import BandAsset, find_band_assets
from kappamask_catalog.sources.calibration import parse_band_ids, parse_calibrations, parse_level
from kappamask_catalog.sources.documents import (
    find_text,
    is_url,
    local_path,
    parse_xml,
    read_xml,
)
from kappamask_catalog.sources.grid import ProductGrid, item_grid, parse_granule_grid
from kappamask_catalog.sources.items import checked_item, item_baseline, item_level, read_item
from kappamask_catalog.sources.masks import BandMasks, find_mask_files
from kappamask_catalog.sources.product import Product, ProductParts
from kappamask_catalog.sources.rasters import read_raster_grid
from kappamask_catalog.sources.reading import ReadOptions, S3Access, read_any_document
from kappamask_catalog.sources.safe import (
    MANIFEST,
    PRODUCT_DOCUMENTS,
    build_safe_item,
    is_safe_folder,
    locate_safe,
    read_checksums,
)
from kappamask_udf.errors import OutputError, ProductError

logger = logging.getLogger(__name__)

# stactools and Earth Search, then Copernicus Data Space and Planetary Computer.
_PRODUCT_KEYS = ("product_metadata", "product-metadata")
_GRANULE_KEYS = ("granule_metadata", "granule-metadata")
_MANIFEST_KEYS = ("safe_manifest", "safe-manifest")


def open_product(
    location: str,
    *,
    workdir: Path | None = None,
    verify: bool = True,
    item: pystac.Item | None = None,
    options: ReadOptions | None = None,
) -> Product:
    """Opens a Sentinel-2 product, Level-1C or Level-2A.

    Args:
        location: a SAFE folder, a zip archive with one, its `MTD_MSIL1C.xml` or `MTD_MSIL2A.xml`,
            or a STAC item (path, `file:`, `http:` or `https:` URL).
        workdir: where archives are unpacked, to a folder of their own that `Product.close`
            removes; the system's temporary folder by default.
        verify: whether a band is compared with its checksum in manifest.safe when it is first
            opened, which is the only way to notice noise inside a compressed file.
        item: the STAC item at `location`, of a caller that has it already; it is not read again.
        options: what the item does not tell: band names, offsets, access to S3.

    Returns:
        The product, to be closed by the caller.

    Raises:
        ProductError: it cannot be read, with what is wrong and what to do.
        UnsafeArchiveError: an archive would write outside of its folder, or is a bomb.
    """
    location = str(location)
    with ExitStack() as resources:
        store: FileStore
        if item is None:
            item, store = _read_input(location, workdir, resources)
        else:
            item, store = checked_item(item.clone(), location), Folder()
            item.make_asset_hrefs_absolute()
        parts = _gather(item, location, store, verify, options or ReadOptions())
        return Product(parts, resources.pop_all())
    raise AssertionError("an exit stack suppresses nothing")


def _read_input(
    location: str, workdir: Path | None, resources: ExitStack
) -> tuple[pystac.Item, FileStore]:
    if is_url(location):
        return read_item(location), Folder()
    path = local_path(location)
    if path is None:
        raise ProductError(f"{location} cannot be opened: only http(s) URLs and paths can")
    try:
        kind = "folder" if path.is_dir() else "file" if path.is_file() else None
    except OSError as error:
        raise ProductError(f"{path} cannot be read: {error.strerror or error}") from error
    if kind is None:
        raise ProductError(f"{path} does not exist; check the path")
    if kind == "folder":
        return _read_folder(path), Folder()
    if path.name in PRODUCT_DOCUMENTS:
        return build_safe_item(locate_safe(path.absolute().parent, path.absolute())), Folder()
    if path.name == MANIFEST:
        return _read_folder(path.parent), Folder()
    if _is_zip(path):
        return _read_archive(path, workdir, resources)
    if path.suffix.lower() in (".json", ".geojson"):
        return read_item(str(path)), Folder()
    raise ProductError(
        f"{path} is no product; give a SAFE folder, its zip archive, "
        f"{' or '.join(PRODUCT_DOCUMENTS)}, or a STAC item (.json)"
    )


def _read_folder(path: Path) -> pystac.Item:
    path = path.absolute()
    if not is_safe_folder(path):
        try:
            inside = sorted(child.name for child in path.iterdir() if is_safe_folder(child))
        except OSError as error:
            raise ProductError(f"{path} cannot be read: {error.strerror or error}") from error
        hint = f"; it holds {', '.join(inside)}, give one of those" if inside else ""
        raise ProductError(
            f"{path} is no SAFE product: no {MANIFEST}, {' or '.join(PRODUCT_DOCUMENTS)}{hint}"
        )
    return build_safe_item(locate_safe(path))


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)


def _read_archive(
    path: Path, workdir: Path | None, resources: ExitStack
) -> tuple[pystac.Item, FileStore]:
    try:
        if workdir is not None:
            workdir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="kappamask-", dir=workdir)).resolve()
    except OSError as error:
        raise OutputError(
            f"{path.name} cannot be unpacked to {workdir or tempfile.gettempdir()}: "
            f"{error.strerror or error}"
        ) from error
    resources.callback(remove_folder, folder)
    archive = SafeArchive(path, folder)
    resources.callback(archive.close)
    return build_safe_item(locate_safe(archive.root)), archive


def _gather(
    item: pystac.Item, location: str, store: FileStore, verify: bool, options: ReadOptions
) -> ProductParts:
    """Reads what the item refers to: the product's metadata, its grid, its masks."""
    bands = find_band_assets(item, options.band_assets)
    if not bands:
        raise ProductError(f"item {item.id} has no asset that is a band of Sentinel-2")
    source, document = _read_product_document(item, options.s3)
    level = item_level(item) if document is None else parse_level(document, source)
    granule_path = _existing(item, _GRANULE_KEYS)
    granule = None if granule_path is None else read_xml(str(granule_path))
    grid = _find_grid(item, granule, str(granule_path), bands, options.s3)
    masks: BandMasks | None = None
    absent: list[str] = []
    if granule is not None and granule_path is not None:
        root = granule_path.parent.parent.parent
        files, absent = find_mask_files(
            granule, parse_band_ids(document), root, granule_path.parent
        )
        masks = BandMasks(files, grid) if files else None
    manifest = _existing(item, _MANIFEST_KEYS)
    told_baseline = None if document is None else find_text(document, "PROCESSING_BASELINE")
    return ProductParts(
        item=item,
        location=location,
        level=level,
        grid=grid,
        bands=bands,
        calibrations={} if document is None else parse_calibrations(document, level, source),
        baseline=told_baseline or item_baseline(item),
        masks=masks,
        absent_masks=tuple(absent),
        store=store,
        checksums=read_checksums(manifest) if verify and manifest is not None else {},
        options=options,
    )


def _href(item: pystac.Item, keys: tuple[str, ...]) -> str | None:
    asset = next((item.assets[key] for key in keys if key in item.assets), None)
    return None if asset is None else asset.get_absolute_href()


def _existing(item: pystac.Item, keys: tuple[str, ...]) -> Path | None:
    """Path of an asset that is a local file, `None` if it is elsewhere or not there."""
    href = _href(item, keys)
    path = None if href is None else local_path(href)
    return path if path is not None and path.is_file() else None


def _read_product_document(
    item: pystac.Item, access: S3Access | None
) -> tuple[str, etree._Element | None]:
    """The product's own metadata with its name, or `None` where an item has no access to it.

    What cannot be reached is no error yet: the assets may tell their calibration themselves, and
    where they do not, that is one. What is reached but broken is an error.
    """
    href = _href(item, _PRODUCT_KEYS)
    if href is None:
        return "", None
    try:
        data = read_any_document(href, access)
    except ProductError as error:
        logger.info("going on without the product metadata of %s: %s", item.id, error)
        return href, None
    return href, parse_xml(data, href)


def _find_grid(
    item: pystac.Item,
    granule: etree._Element | None,
    source: str,
    bands: Mapping[str, BandAsset],
    access: S3Access | None,
) -> ProductGrid:
    """From MTD_TL.xml, else the item's projection fields, else the finest raster itself."""
    if granule is not None:
        return parse_granule_grid(granule, source)
    finest = min(bands.values(), key=lambda asset: asset.resolution_m)
    return item_grid(item) or read_raster_grid(finest.href, f"band {finest.band}", access)
