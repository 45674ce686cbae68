"""Products in a local folder: SAFE folders and their archives, found by name.

No pixel is opened. What is still being copied is left for later.
"""

import logging
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import shapely
from lxml import etree
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.products.base import (
    Bbox,
    Interval,
    ProductRef,
    check_query,
    is_within,
    meets,
)
from kappamask_catalog.products.config import SourceConfig
from kappamask_catalog.sources.documents import MAX_DOCUMENT_BYTES, find_text, parse_xml, read_xml
from kappamask_catalog.sources.safe import MANIFEST, PRODUCT_DOCUMENTS
from kappamask_udf.errors import ProductError, SourceError
from kappamask_udf.pixels import Level

logger = logging.getLogger(__name__)

# Source: ESA, Sentinel-2 Products Specification Document, naming of products since December 2016.
_NAME = re.compile(
    r"(?P<id>S2[A-Z]_MSI(?P<level>L1C|L2A)_(?P<time>\d{8}T\d{6})_N\d{4}_R\d{3}_T(?P<tile>\d{2}[A-Z]{3})"
    r"_\d{8}T\d{6})(?P<safe>\.SAFE)?(?P<zip>\.zip)?"
)
_POSITIONS = "EXT_POS_LIST"
# Parts of a product that neither masks nor calibration need; many tools leave them out.
_NEEDLESS = re.compile(r"(^|/)(HTML|rep_info|AUX_DATA)/|INSPIRE\.xml$|-ql\.jpg$|_PVI(_\d+m)?\.jp2$")


@dataclass(frozen=True)
class _Found:
    """A path whose name is one of a product."""

    path: Path
    id: str
    level: Level
    time: datetime
    tile: str

    @property
    def is_archive(self) -> bool:
        return self.path.name.lower().endswith(".zip")


class FolderCollection:
    """See `ProductCollection`. Newest products come first."""

    def __init__(self, config: SourceConfig) -> None:
        self._config = config

    @property
    def config(self) -> SourceConfig:
        """See `ProductCollection.config`."""
        return self._config

    def search(
        self, bbox: Bbox | None = None, interval: Interval | None = None, limit: int | None = None
    ) -> Iterator[ProductRef]:
        """See `ProductCollection.search`. Incomplete products are left out."""
        check_query(bbox, interval, limit)
        return self._search(bbox, interval, limit)

    def _search(
        self, bbox: Bbox | None, interval: Interval | None, limit: int | None
    ) -> Iterator[ProductRef]:
        found = [one for one in _scan(self._config) if is_within(one.time, interval)]
        found.sort(key=lambda one: one.id)
        found.sort(key=lambda one: one.time, reverse=True)
        count = 0
        for one in found:
            if not _is_complete(one):
                continue
            if bbox is not None and not meets(_footprint(one), bbox):
                continue
            yield _ref(one)
            count += 1
            if count == limit:
                return


def watch_folder(
    config: SourceConfig, seconds: float, stop: threading.Event
) -> Iterator[ProductRef]:
    """Products of a folder as they become complete, those that are there first; oldest first.

    The folder is looked through again and again, which works on every file system. A folder that
    cannot be read for a while, as on a network, is a warning and tried again.

    Args:
        config: of a folder.
        seconds: between two looks.
        stop: ends it when it is set.

    Raises:
        SourceError: it is no folder at the first look, or the source is of another kind.
    """
    if config.kind != "folder":
        raise SourceError(f"source {config.id} is no folder, so it cannot be watched")
    return _watch(config, seconds, stop, _scan(config))


def _watch(
    config: SourceConfig, seconds: float, stop: threading.Event, found: list[_Found]
) -> Iterator[ProductRef]:
    known: set[Path] = set()
    while not stop.is_set():
        for one in sorted(found, key=lambda one: (one.time, one.id)):
            if one.path in known or not _is_complete(one):
                continue
            known.add(one.path)
            yield _ref(one)
            if stop.is_set():
                return
        if stop.wait(seconds):
            return
        try:
            found = _scan(config)
        except SourceError as error:
            logger.warning("%s; it is looked into again in %g s", error, seconds)
            found = []


def _ref(found: _Found) -> ProductRef:
    return ProductRef(found.id, str(found.path), found.time, found.level, tile=found.tile)


def _scan(config: SourceConfig) -> list[_Found]:
    """All products of the level by name, also in folders inside; not inside of products."""
    root = Path(config.location)
    found: list[_Found] = []
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            if folder != root:
                # Removed meanwhile, or none of ours, such as lost+found.
                logger.warning("%s is left out: %s", folder, error.strerror or error)
                continue
            raise SourceError(
                f"source {config.id}: {root} cannot be read: {error.strerror or error}; check "
                "location"
            ) from error
        for path in children:
            one = _parse_name(path)
            if one is not None:
                if one.level == config.level:
                    found.append(one)
            # Links to folders may lead in circles.
            elif path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                folders.append(path)
    return found


def _parse_name(path: Path) -> _Found | None:
    match = _NAME.fullmatch(path.name)
    if match is None or (match["safe"] is None and match["zip"] is None):
        return None
    if path.is_dir() == bool(match["zip"]):
        return None
    try:
        time = datetime.strptime(match["time"], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    level: Level = "L1C" if match["level"] == "L1C" else "L2A"
    return _Found(path, match["id"], level, time, match["tile"])


def _is_complete(found: _Found) -> bool:
    try:
        reason = _archive_lacks(found) if found.is_archive else _folder_lacks(found)
    except (OSError, ProductError) as error:
        reason = str(error)
    if reason is not None:
        logger.info("%s is not complete yet: %s", found.path.name, reason)
    return reason is None


def _archive_lacks(found: _Found) -> str | None:
    """The list of members is at the end of an archive, so one without is not all there."""
    try:
        with zipfile.ZipFile(found.path) as archive:
            names = [PurePosixPath(name).name for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        return str(error)
    return None if set(names) & set(PRODUCT_DOCUMENTS) else "it holds no product"


def _folder_lacks(found: _Found) -> str | None:
    """The manifest tells every file with its size."""
    manifest = found.path / MANIFEST
    if not manifest.is_file():
        return f"no {MANIFEST}"
    if not any((found.path / name).is_file() for name in PRODUCT_DOCUMENTS):
        return f"no {' or '.join(PRODUCT_DOCUMENTS)}"
    for stream in read_xml(str(manifest)).iter("{*}byteStream"):
        location = next(stream.iter("{*}fileLocation"), None)
        name = "" if location is None else (location.get("href") or "").removeprefix("./")
        told = stream.get("size") or ""
        if not name or _NEEDLESS.search(name):
            continue
        try:
            size = (found.path / name).stat().st_size
        except FileNotFoundError:
            return f"no {name}"
        if told.isdigit() and size != int(told):
            return f"{name} has {size} of {told} bytes"
    return None


def _footprint(found: _Found) -> BaseGeometry | None:
    """Polygon in degrees from the product's metadata, `None` where it has none.

    Raises:
        SourceError: the metadata cannot be read.
    """
    try:
        root = _read_metadata(found)
        text = None if root is None else find_text(root, _POSITIONS)
        if text is None:
            return None
        numbers = [float(word) for word in text.split()]
        # Latitude and longitude in turns, sometimes with heights.
        step = 3 if len(numbers) % 3 == 0 and numbers[:2] != numbers[-2:] else 2
        ring = list(zip(numbers[1::step], numbers[::step], strict=False))
        return shapely.make_valid(shapely.Polygon(_unwrapped(ring)))
    except (ProductError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"the footprint of {found.path} cannot be read: {error}") from error


def _unwrapped(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Longitudes beyond 180 degrees where a ring crosses the antimeridian."""
    longitudes = [lon for lon, _ in ring]
    if max(longitudes) - min(longitudes) <= 180:
        return ring
    return [(lon + 360 if lon < 0 else lon, lat) for lon, lat in ring]


def _read_metadata(found: _Found) -> etree._Element | None:
    if not found.is_archive:
        path = next(
            (found.path / name for name in PRODUCT_DOCUMENTS if (found.path / name).is_file()), None
        )
        return None if path is None else read_xml(str(path))
    with zipfile.ZipFile(found.path) as archive:
        for member in archive.infolist():
            if PurePosixPath(member.filename).name in PRODUCT_DOCUMENTS:
                if member.file_size > MAX_DOCUMENT_BYTES:
                    raise ProductError(f"{member.filename} is too large")
                return parse_xml(archive.read(member), member.filename)
    return None
