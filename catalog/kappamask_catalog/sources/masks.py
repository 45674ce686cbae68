"""Pixels that the sensor did not see: outside the detector footprint, or lost on the way down.

From processing baseline 04.00 on the masks are rasters (MSK_DETFOO, MSK_QUALIT), before that GML
polygons (MSK_DETFOO, MSK_TECQUA). Both are read by windows, on the 10 m grid.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import shapely
from lxml import etree
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from kappamask_catalog.sources.blocks import Bools, BurntPolygons, assemble, polygons_of
from kappamask_catalog.sources.documents import read_xml
from kappamask_catalog.sources.grid import ProductGrid
from kappamask_catalog.sources.jpeg2000 import TileIndex, is_jpeg2000, read_tile_index
from kappamask_catalog.sources.rasters import RasterFile
from kappamask_udf.errors import CorruptDataError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow

logger = logging.getLogger(__name__)

MaskKind = Literal["MSK_DETFOO", "MSK_QUALIT", "MSK_TECQUA"]
MASK_KINDS: tuple[MaskKind, ...] = ("MSK_DETFOO", "MSK_QUALIT", "MSK_TECQUA")
QUALIT_LOST_INDEX = 3
"""Band of MSK_QUALIT with lost MSI packets. The eight are: lost and degraded ancillary packets,
lost and degraded MSI packets, defective, no data, partially corrected cross-talk, saturated.
Source: ESA, Sentinel-2 Products Specification Document, annex on L1C quality masks."""
TECQUA_LOST_TYPE = "MSI_LOST"
"""`maskType` of lost MSI packets in MSK_TECQUA. `ANC_LOST` is no loss of pixels: in real products
it covers half a scene of good data. Source: the same document."""
_DETFOO_OUTSIDE = 0  # Else the number of the detector, 1 to 12. Source: the same document.
_CACHED_TILES = 256  # As bits a tile of 1024 x 1024 pixels has 128 KiB, so 32 MiB together.


class LostMask(Protocol):
    """Where pixels are lost according to one file."""

    def read(self, window: PixelWindow) -> Bools:
        """(rows, cols) bool of a window of the 10 m grid, True where lost."""
        ...

    def close(self) -> None:
        """Closes the file."""
        ...


@dataclass(frozen=True)
class MaskFile:
    """A mask that the product names, or that lies in its folder."""

    kind: MaskKind
    band: str
    path: Path


class TileCache:
    """Decoded tiles of masks by the key of their code; equal tiles of all files share one entry.

    Nearly all tiles of quality masks are empty and have the same code. Decoding them all costs
    9.5 s a band at 10 m, decoding one of each kind next to nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tiles: OrderedDict[tuple[bytes, int], NDArray[np.uint8] | bool] = OrderedDict()

    def get(self, key: tuple[bytes, int], shape_yx: tuple[int, int]) -> Bools | bool | None:
        """The tile, or its only value, or `None` if it is not there."""
        with self._lock:
            packed = self._tiles.get(key)
            if packed is not None:
                self._tiles.move_to_end(key)
        if packed is None or isinstance(packed, bool):
            return packed
        count = shape_yx[0] * shape_yx[1]
        return np.unpackbits(packed, count=count).reshape(shape_yx).view(np.bool_)

    def put(self, key: tuple[bytes, int], tile: Bools) -> Bools | bool:
        """Keeps a tile and returns it, or its only value if it has one."""
        is_uniform = bool(tile.all()) or not tile.any()
        with self._lock:
            self._tiles[key] = bool(tile.flat[0]) if is_uniform else np.packbits(tile)
            while len(self._tiles) > _CACHED_TILES:
                self._tiles.popitem(last=False)
        return bool(tile.flat[0]) if is_uniform else tile


class RasterMask:
    """A raster mask at 10, 20 or 60 m; pixels of coarser ones are repeated."""

    def __init__(self, file: RasterFile, grid: ProductGrid, index: int, cache: TileCache) -> None:
        """Describes a mask.

        Args:
            file: the raster.
            grid: grid of the product.
            index: band of the file; 1 is a footprint, whose 0 is lost, any other a quality, whose
                non-zero values are lost.
            cache: shared by the masks of a product.
        """
        self._file = file
        self._grid = grid
        self._index = index
        self._cache = cache
        self._lock = threading.Lock()
        self._tiles: TileIndex | None = None
        self._is_indexed = False

    def read(self, window: PixelWindow) -> Bools:
        """See `LostMask.read`."""
        factor = self._file.resolution_m // NATIVE_RESOLUTION_M
        own = PixelWindow(
            window.row0 // factor, -(-window.row1 // factor),
            window.col0 // factor, -(-window.col1 // factor),
        )  # fmt: skip
        lost = self._read_own(own)
        if factor == 1:
            return lost
        rows = np.arange(window.row0, window.row1) // factor - own.row0
        cols = np.arange(window.col0, window.col1) // factor - own.col0
        return lost[np.ix_(rows, cols)]

    def close(self) -> None:
        """See `LostMask.close`."""
        self._file.close()

    def _read_own(self, window: PixelWindow) -> Bools:
        tiles = self._index_of_tiles()
        if tiles is None:
            return self._decode(window)
        return assemble(window, tiles.tile_shape_yx, lambda row, col: self._tile(tiles, row, col))

    def _index_of_tiles(self) -> TileIndex | None:
        with self._lock:
            if not self._is_indexed:
                path = self._file.path
                if path is not None and path.is_file() and is_jpeg2000(path):
                    self._tiles = read_tile_index(path)
                self._is_indexed = True
            return self._tiles

    def _tile(self, tiles: TileIndex, row: int, col: int) -> Bools | bool:
        tile_rows, tile_cols = tiles.tile_shape_yx
        top, left = row * tile_rows, col * tile_cols
        window = PixelWindow(
            top, min(top + tile_rows, tiles.shape_yx[0]),
            left, min(left + tile_cols, tiles.shape_yx[1]),
        )  # fmt: skip
        number = row * -(-tiles.shape_yx[1] // tile_cols) + col
        key = (tiles.keys[number], self._index)
        known = self._cache.get(key, window.shape_yx)
        return self._cache.put(key, self._decode(window)) if known is None else known

    def _decode(self, window: PixelWindow) -> Bools:
        values = self._file.read(window, self._index)
        lost: Bools = values == _DETFOO_OUTSIDE if self._index == 1 else values != 0
        return lost


class PolygonMask:
    """A mask of GML polygons in the product's reference system."""

    def __init__(self, polygons: Sequence[BaseGeometry], grid: ProductGrid, lost: bool) -> None:
        """Keeps polygons.

        Args:
            polygons: in metres.
            grid: grid of the product.
            lost: whether what they cover is lost, or what they do not.
        """
        self._burnt = BurntPolygons(polygons, grid, all_touched=False) if polygons else None
        self._lost = lost

    def read(self, window: PixelWindow) -> Bools:
        """See `LostMask.read`."""
        if self._burnt is None:
            # An empty footprint tells nothing: where a band really has no data its digital
            # numbers are 0, and good data must not be called missing for an empty file.
            return np.zeros(window.shape_yx, np.bool_)
        covered = self._burnt.covered(window)
        return covered if self._lost else ~covered

    def close(self) -> None:
        """See `LostMask.close`."""


def find_mask_files(
    granule: etree._Element, band_ids: Mapping[str, str], root: Path, granule_folder: Path
) -> tuple[list[MaskFile], list[str]]:
    """The masks of a product: those that MTD_TL.xml names, else those in QI_DATA.

    A mask that is named but not there is left out with a warning: the digital numbers still tell
    most missing pixels, and a product cut down to its bands stays readable. Nothing is called
    missing on the word of a file that nobody has seen.

    Returns:
        The files, and the names of masks that are named but not there.
    """
    named: list[MaskFile] = []
    absent: list[str] = []
    folder = granule_folder / "QI_DATA"
    for element in granule.iter("{*}MASK_FILENAME"):
        kind = next((known for known in MASK_KINDS if known == element.get("type")), None)
        band = band_ids.get(element.get("bandId", ""))
        href = (element.text or "").strip()
        if kind is None or band is None or not href:
            continue
        # Older products name the file only, or a path that later layouts have not.
        name = href.replace("\\", "/").rpartition("/")[2]
        path = next((path for path in (folder / name, root / name) if path.is_file()), None)
        if path is None:
            absent.append(name)
        else:
            named.append(MaskFile(kind, band, path))
    if absent:
        logger.warning(
            "%s names masks that are not there, going on without: %s", root.name, ", ".join(absent)
        )
    return (named, absent) if named or absent else (_search_masks(folder, band_ids), absent)


def _search_masks(folder: Path, band_ids: Mapping[str, str]) -> list[MaskFile]:
    found: list[MaskFile] = []
    for kind in MASK_KINDS:
        for band in band_ids.values():
            for suffix in (".jp2", ".gml"):
                paths = sorted(folder.glob(f"*{kind}_*{band}*{suffix}"))
                found.extend(MaskFile(kind, band, path) for path in paths[:1])
    return found


class BandMasks:
    """The masks of a product by band, opened when first read."""

    def __init__(self, files: Sequence[MaskFile], grid: ProductGrid) -> None:
        """Keeps which files there are."""
        self._files = files
        self._grid = grid
        self._cache = TileCache()
        self._lock = threading.Lock()
        self._masks: dict[MaskFile, LostMask] = {}

    def read_lost(self, bands: Sequence[str], window: PixelWindow) -> Bools | None:
        """(rows, cols) bool on the 10 m grid, or `None` where no band has a mask.

        Raises:
            CorruptDataError: a mask is there but cannot be read.
        """
        lost: Bools | None = None
        for file in self._files:
            if file.band in bands:
                found = self._mask(file).read(window)
                lost = found if lost is None else np.logical_or(lost, found, out=lost)
        return lost

    def close(self) -> None:
        """Closes all masks."""
        with self._lock:
            for mask in self._masks.values():
                mask.close()

    def _mask(self, file: MaskFile) -> LostMask:
        with self._lock:
            if file not in self._masks:
                self._masks[file] = self._open(file)
            return self._masks[file]

    def _open(self, file: MaskFile) -> LostMask:
        is_footprint = file.kind == "MSK_DETFOO"
        if file.path.suffix.lower() == ".gml":
            mask_type = None if is_footprint else TECQUA_LOST_TYPE
            polygons = read_gml_polygons(file.path, self._grid.epsg, mask_type)
            return PolygonMask(polygons, self._grid, lost=not is_footprint)
        name = f"{file.kind} of band {file.band}"
        raster = RasterFile(str(file.path), name, self._grid, None)
        return RasterMask(raster, self._grid, 1 if is_footprint else QUALIT_LOST_INDEX, self._cache)


def read_gml_polygons(path: Path, epsg: int, mask_type: str | None) -> list[BaseGeometry]:
    """The polygons of a GML mask, of one `maskType` or of all.

    Args:
        path: the file; one without any polygon is usual and gives none.
        epsg: the reference system that its coordinates must be in.
        mask_type: for example `MSI_LOST`, `None` for all.

    Raises:
        CorruptDataError: it cannot be understood.
    """
    root = read_xml(str(path))
    for envelope in root.iter("{*}Envelope"):
        code = (envelope.get("srsName") or "").rpartition(":")[2]
        if code and code != str(epsg):
            raise CorruptDataError(f"{path.name} is in EPSG {code}, the product in EPSG {epsg}")
    polygons: list[BaseGeometry] = []
    for feature in root.iter("{*}MaskFeature"):
        kind = next((element.text for element in feature.iter("{*}maskType")), None)
        if mask_type is None or (kind or "").strip() == mask_type:
            for element in feature.iter("{*}Polygon"):
                polygons.extend(polygons_of(_parse_polygon(element, path.name)))
    return polygons


def _parse_polygon(element: etree._Element, source: str) -> BaseGeometry:
    rings = {
        side: [
            _parse_ring(ring, source)
            for border in element.iter("{*}" + side)
            for ring in border.iter("{*}posList")
        ]
        for side in ("exterior", "interior")
    }
    if len(rings["exterior"]) != 1:
        raise CorruptDataError(f"{source} has a polygon without an exterior ring")
    try:
        return shapely.make_valid(shapely.Polygon(rings["exterior"][0], rings["interior"]))
    except (ValueError, shapely.GEOSException) as error:
        raise CorruptDataError(f"{source} has a polygon that is none: {error}") from error


def _parse_ring(element: etree._Element, source: str) -> NDArray[np.float64]:
    try:
        numbers = np.array((element.text or "").split(), dtype=np.float64)
        dimension = int(element.get("srsDimension") or 2)
        ring: NDArray[np.float64] = numbers.reshape(-1, dimension)[:, :2]
    except ValueError as error:
        raise CorruptDataError(f"{source} has coordinates that are none: {error}") from error
    return ring
