"""One raster file of a product: opened once, checked against the product's grid, read by windows.

GDAL datasets must not be used by two threads at once, so each has a lock; several files are read
in parallel.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from kappamask_catalog.sources.documents import local_path
from kappamask_catalog.sources.grid import RESOLUTIONS_M, ProductGrid
from kappamask_catalog.sources.jpeg2000 import check_complete, is_jpeg2000
from kappamask_catalog.sources.reading import S3Access, gdal_env
from kappamask_udf.errors import CorruptDataError, MissingBandError, ProductError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow

# rasterio hands the cache size to GDAL in bytes and wants an integer. Windows that follow the
# file's blocks decode every block once, so the cache needs to hold a few blocks of each band.
# Bands are read in parallel threads; more threads inside GDAL would compete with them.
# No directory scan and no `.aux.xml`: georeferencing comes from the file or not at all.
GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 128 << 20,
    "GDAL_NUM_THREADS": "1",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_HTTP_CONNECTTIMEOUT": "30",
    "GDAL_HTTP_TIMEOUT": "120",
    "GDAL_HTTP_MAX_RETRY": "2",
}
GEOREFERENCE_TOLERANCE_M = 0.01
"""How far a corner may be from the grid of MTD_TL.xml, metres: far below a pixel, far above the
rounding of coordinates in a file."""
_MIN_BLOCK_ROWS, _GOOD_BLOCK_ROWS = 256, 512
_HASH_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Checksum:
    """What manifest.safe tells of the bytes of a file."""

    algorithm: str
    """Name as in the manifest, `MD5` or `SHA3-256`."""
    digest: str
    """Hexadecimal digits."""


class RasterFile:
    """A file with georeferenced pixels on one grid of a product; opened at the first read."""

    def __init__(
        self,
        href: str,
        name: str,
        grid: ProductGrid,
        resolution_m: int | None,
        prepare: Callable[[Path], None] | None = None,
        access: S3Access | None = None,
    ) -> None:
        """Describes a file without touching it.

        Args:
            href: absolute path or URL.
            name: what it is, for messages: `band B02`.
            grid: grid of the product.
            resolution_m: metres per pixel that the file must have, `None` for any whole multiple
                of 10 m that fits the grid.
            prepare: called with a local path before it is opened, to bring or verify the file.
            access: for a file in S3.
        """
        self.href = href
        self.name = name
        self._grid = grid
        self._told_resolution_m = resolution_m
        self._prepare = prepare
        self._access = access
        self._lock = threading.Lock()
        self._dataset: Any = None
        self._is_closed = False

    @property
    def resolution_m(self) -> int:
        """Metres per pixel; opens the file if it was not told."""
        if self._told_resolution_m is not None:
            return self._told_resolution_m
        with self._lock, gdal_env(GDAL_OPTIONS, self._access):
            metres: float = self._opened().transform.a
        return round(metres)

    @property
    def path(self) -> Path | None:
        """Path of a local file, `None` for a URL."""
        return local_path(self.href)

    def block_rows(self) -> int:
        """Rows of the file's blocks; of low blocks as many whole ones as come near 512 rows."""
        with self._lock, gdal_env(GDAL_OPTIONS, self._access):
            dataset = self._opened()
            rows = int(dataset.block_shapes[0][0])
        if rows < _MIN_BLOCK_ROWS:
            rows *= max(1, round(_GOOD_BLOCK_ROWS / rows))
        return min(rows, self._grid.shape_at(self.resolution_m)[0])

    def block_shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the file's blocks."""
        with self._lock, gdal_env(GDAL_OPTIONS, self._access):
            rows, cols = self._opened().block_shapes[0]
        return int(rows), int(cols)

    def read(self, window: PixelWindow, index: int = 1) -> NDArray[Any]:
        """(rows, cols) pixels of a window of the file's own grid.

        Args:
            window: inside the grid.
            index: band of the file, from 1.

        Raises:
            CorruptDataError: the file cannot be decoded or does not fit the product.
            MissingBandError: there is no such file.
        """
        rows, cols = self._grid.shape_at(self.resolution_m)
        if window.row0 < 0 or window.col0 < 0 or window.row1 > rows or window.col1 > cols:
            raise ValueError(f"window {window} leaves the {rows} x {cols} grid of {self.name}")
        height, width = window.shape_yx
        with self._lock, gdal_env(GDAL_OPTIONS, self._access):
            dataset = self._opened()
            if index > dataset.count:
                raise CorruptDataError(
                    f"{self._file_name} ({self.name}) has {dataset.count} bands, {index} are needed"
                )
            where = f"rows {window.row0}..{window.row1}, columns {window.col0}..{window.col1}"
            with _translated(f"{self._file_name} ({self.name}) cannot be decoded at {where}"):
                pixels: NDArray[Any] = dataset.read(
                    index, window=Window(window.col0, window.row0, width, height)
                )
        return pixels

    def close(self) -> None:
        """Closes the file if it is open; reading is over."""
        with self._lock:
            self._is_closed = True
            if self._dataset is not None:
                self._dataset.close()
                self._dataset = None

    @property
    def _file_name(self) -> str:
        path = self.path
        return path.name if path is not None else self.href

    def _opened(self) -> Any:
        """The dataset; the lock is held by the caller."""
        if self._is_closed:
            raise ValueError(f"the product of {self._file_name} is closed")
        if self._dataset is None:
            if self.path is not None and self._prepare is not None:
                self._prepare(self.path)
            options = _open_options(self.href, self.name)
            with _translated(f"{self._file_name} ({self.name}) cannot be opened"):
                dataset = rasterio.open(self.href if self.path is None else self.path, **options)
            try:
                self._check(dataset)
            except BaseException:
                dataset.close()
                raise
            self._dataset = dataset
        return self._dataset

    def _check(self, dataset: Any) -> None:
        """Compares the size and place of the file with the product's."""
        resolution_m = self._told_resolution_m or round(dataset.transform.a)
        rows, cols = self._grid.shape_at(resolution_m)
        if (dataset.height, dataset.width) != (rows, cols):
            raise CorruptDataError(
                f"{self._file_name} ({self.name}) has {dataset.height} x {dataset.width} pixels, "
                f"the product has {rows} x {cols} at {resolution_m} m; the file is corrupt or of "
                "another product"
            )
        expected = self._grid.transform_at(resolution_m)
        epsg = dataset.crs.to_epsg() if dataset.crs else None
        if epsg != self._grid.epsg or any(
            abs(found - wanted) > GEOREFERENCE_TOLERANCE_M
            for found, wanted in zip(dataset.transform[:6], expected[:6], strict=True)
        ):
            raise CorruptDataError(
                f"{self._file_name} ({self.name}) lies at {tuple(dataset.transform[:6])} in EPSG "
                f"{epsg}, the product at {tuple(expected[:6])} in EPSG {self._grid.epsg}"
            )


def _open_options(href: str, name: str) -> dict[str, Any]:
    """Driver by content or name: no other may be led to files elsewhere, as a VRT could."""
    path = local_path(href)
    if path is None:
        is_jp2 = urlsplit(href).path.lower().endswith((".jp2", ".j2k"))
    else:
        try:
            is_jp2 = is_jpeg2000(path)
            if is_jp2:
                check_complete(path)
        except FileNotFoundError as error:
            raise MissingBandError(
                f"the file of {name} is missing: {path}; get the product again"
            ) from error
        except OSError as error:
            raise ProductError(
                f"{path} ({name}) cannot be read: {error.strerror or error}"
            ) from error
    # Strict, so that OpenJPEG refuses a tile that was cut off instead of filling it up.
    return {"driver": "JP2OpenJPEG", "STRICT": "YES"} if is_jp2 else {"driver": "GTiff"}


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (RasterioError, NotGeoreferencedWarning, OSError) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise CorruptDataError(f"{what}: {reason}") from error


def read_raster_grid(href: str, name: str, access: S3Access | None = None) -> ProductGrid:
    """The grids of a product by its finest raster, for an item that does not tell them.

    Raises:
        CorruptDataError: the raster cannot be opened or is not georeferenced in metres.
        MissingBandError: there is no such file.
    """
    with gdal_env(GDAL_OPTIONS, access):
        options = _open_options(href, name)
        with (
            _translated(f"{href} ({name}) cannot be opened"),
            rasterio.open(local_path(href) or href, **options) as dataset,
        ):
            resolution_m = round(dataset.transform.a)
            epsg = dataset.crs.to_epsg() if dataset.crs else None
            if epsg is None or resolution_m not in RESOLUTIONS_M:
                raise CorruptDataError(
                    f"{href} ({name}) must lie on a 10, 20 or 60 m grid, found {resolution_m} m "
                    f"and EPSG {epsg}"
                )
            factor = resolution_m // NATIVE_RESOLUTION_M
            shapes = {resolution_m: (int(dataset.height), int(dataset.width))}
            shapes.setdefault(
                NATIVE_RESOLUTION_M, (dataset.height * factor, dataset.width * factor)
            )
            return ProductGrid(epsg, dataset.transform.c, dataset.transform.f, shapes)


def verify_checksum(path: Path, checksums: Mapping[Path, Checksum]) -> None:
    """Compares a file with the checksum that the manifest has for it, if it has one.

    A decoder notices little of what happens inside a compressed block: of files with 2000 bytes
    of noise in the middle all were decoded without complaint. MD5 runs at 500 MB/s and SHA3-256
    at 280 MB/s on one core, against some 25 MB/s of decoding.

    Raises:
        CorruptDataError: the contents are not those that the manifest describes.
    """
    checksum = checksums.get(path)
    if checksum is None:
        return
    try:
        digest = hashlib.new(checksum.algorithm.lower().replace("-", "_"), usedforsecurity=False)
    except ValueError:
        return  # An algorithm that this Python does not have proves nothing.
    try:
        with path.open("rb") as file:
            while chunk := file.read(_HASH_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return  # Whoever opens the file next says what is wrong with it.
    if digest.hexdigest() != checksum.digest.lower():
        raise CorruptDataError(
            f"{path.name} is corrupt: its {checksum.algorithm} is not the one in manifest.safe; "
            "get the file again"
        )


def as_dn(pixels: NDArray[Any], file: RasterFile) -> NDArray[np.uint16]:
    """Digital numbers as uint16.

    Raises:
        CorruptDataError: they are of another type, so no digital numbers of a product.
    """
    if pixels.dtype != np.uint16:
        raise CorruptDataError(
            f"{file.href} ({file.name}) has {pixels.dtype} pixels, uint16 digital numbers are "
            "needed"
        )
    return pixels
