"""Cloud-optimized GeoTIFFs (COG), written strip by strip in bounded memory.

The strips go to a plain file, overviews are made from it, and GDAL's copy puts tiles, overviews
and directories in the order of a COG. All of it happens in a hidden folder beside the
destination; the finished file is renamed.
"""

import errno
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from sys import byteorder
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what rasterio.shutil.copy raises, public nowhere
from rasterio.errors import RasterioError

from kappamask_catalog.publish.classification import (
    RGBA,
    build_class_tags,
    build_color_table,
    describe_classes,
)
from kappamask_catalog.publish.planes import (
    PlaneFile,
    Reduction,
    allocated_bytes,
    overview_shapes,
    reduce_plane,
)
from kappamask_catalog.publish.result import PARTIAL_MARK
from kappamask_catalog.publish.tiff import IncompleteTiffError, check_complete
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import OutputError

BLOCK_PX = 512
"""Rows and columns of a tile."""
DEFAULT_CACHE_MB = 64
"""GDAL's block cache while a COG is made: one row of float32 blocks is 22 MB."""
_GDAL_TYPES = {"uint8": "Byte", "float32": "Float32"}
_PERMISSION_ERRNOS = (errno.EACCES, errno.EPERM, errno.EROFS)
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class CogProfile:
    """What a COG looks like."""

    shape_yx: tuple[int, int]
    transform: Affine
    """From pixels to the CRS, upper-left corner."""
    epsg: int
    dtype: Literal["uint8", "float32"]
    overviews: Reduction
    """How four pixels become one: `mode` for classes, `average` for quantities."""
    band_names: tuple[str, ...]
    """One per band."""
    compression: Literal["deflate", "zstd"] = "deflate"
    level: int = 6
    """Of the compression: 1 is fast."""
    predictor: Literal[1, 2, 3] = 1
    """1: none, 2: differences of integers, 3: of floats."""
    nodata: float | None = None
    colors: Mapping[int, RGBA] | None = None
    """Colour table of a `uint8` band."""
    band_tags: Mapping[str, str] = field(default_factory=dict)
    """The same for every band."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Of the file, such as `TIFFTAG_SOFTWARE`."""

    @property
    def count(self) -> int:
        """Number of bands."""
        return len(self.band_names)

    @property
    def raw_bytes(self) -> int:
        """Of the uncompressed pixels, without overviews."""
        return self.count * self.shape_yx[0] * self.shape_yx[1] * np.dtype(self.dtype).itemsize


def build_mask_profile(
    shape_yx: tuple[int, int], transform: Affine, epsg: int, tags: Mapping[str, str] | None = None
) -> CogProfile:
    """How a class mask is stored: uint8 ids, colour table, class names, overviews by mode.

    DEFLATE level 6 was measured on a mask of 10980 x 10980 px: 2.5 MB, which no faster level
    reaches, and every reader has it.
    """
    description = f"Cloud mask: {describe_classes()}"
    return CogProfile(
        shape_yx=shape_yx,
        transform=transform,
        epsg=epsg,
        dtype="uint8",
        overviews="mode",
        band_names=("mask",),
        nodata=int(MaskClass.UNDEFINED),
        colors=build_color_table(),
        band_tags=build_class_tags(),
        tags={"TIFFTAG_IMAGEDESCRIPTION": description, **(tags or {})},
    )


def build_probability_profile(
    shape_yx: tuple[int, int], transform: Affine, epsg: int, tags: Mapping[str, str] | None = None
) -> CogProfile:
    """How probabilities are stored: one float32 band per class, by id, named as in STAC.

    ZSTD level 1: DEFLATE took twice as long for the same size.
    """
    return CogProfile(
        shape_yx=shape_yx,
        transform=transform,
        epsg=epsg,
        dtype="float32",
        overviews="average",
        band_names=tuple(one.stac_name for one in MaskClass),
        compression="zstd",
        level=1,
        predictor=3,
        tags={"TIFFTAG_IMAGEDESCRIPTION": "Class probabilities, 0 to 1", **(tags or {})},
    )


class CogWriter:
    """Writes one COG; a context manager, to be used from one thread at a time.

    Leaving the block without `finish` throws everything away.

        with CogWriter(path, build_mask_profile(...)) as writer:
            for row0, strip in strips:
                writer.write(row0, strip)
            writer.finish()
    """

    def __init__(
        self, path: Path, profile: CogProfile, threads: int = 1, cache_mb: int = DEFAULT_CACHE_MB
    ) -> None:
        """Nothing is written yet.

        Args:
            path: the file to make; one that is there is replaced by `finish`.
            profile: what it looks like.
            threads: for overviews and compression.
            cache_mb: GDAL's block cache while the COG is made, megabytes.
        """
        self.path = path
        self.profile = profile
        self._threads = threads
        self._cache_mb = cache_mb
        self._is_written = np.zeros(profile.shape_yx[0], dtype=bool)
        self._resources = ExitStack()
        self._plane: PlaneFile | None = None
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        """Makes the hidden folder. Raises `OutputError` where that is not possible."""
        try:
            self._check_space()
            self._folder = self._make_folder()
            self._plane = self._open_plane(0, self.profile.shape_yx)
        except OSError as error:
            explained = self._explain(error)
            self._resources.close()
            raise explained from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def write(self, row0: int, pixels: NDArray[Any]) -> None:
        """Put a strip of whole rows; strips may come in any order, each row once.

        Args:
            row0: first row of the strip.
            pixels: (rows, cols) of a single band or (bands, rows, cols), in the profile's dtype.

        Raises:
            OutputError: the disk is full or cannot be written.
            ValueError: the strip does not fit the profile, or a row was written before.
        """
        bands = pixels[np.newaxis] if pixels.ndim == 2 else pixels
        rows = slice(row0, row0 + bands.shape[1])
        self._check_strip(bands, rows)
        plane = self._opened()
        try:
            for band, values in enumerate(bands):
                plane.write_rows(band, row0, values)
        except OSError as error:
            raise self._explain(error) from error
        self._is_written[rows] = True

    def finish(self) -> Path:
        """Make the COG and put it in its place; returns its path.

        Raises:
            OutputError: the disk is full or cannot be written.
            ValueError: rows are missing.
        """
        if not self._is_written.all():
            missing = int((~self._is_written).sum())
            raise ValueError(f"{missing} of {len(self._is_written)} rows were not written")
        try:
            finished = self._copy(self._build_pyramid())
            finished.replace(self.path)
        except (OSError, RasterioError, CPLE_BaseError, IncompleteTiffError) as error:
            raise self._explain(error) from error
        finally:
            self._resources.close()
        return self.path

    def _make_folder(self) -> Path:
        prefix = f".{self.path.name}{PARTIAL_MARK}"
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self.path.parent))
        self._resources.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _open_plane(self, level: int, shape_yx: tuple[int, int]) -> PlaneFile:
        path = self._work_folder / f"level{level}.raw"
        dtype = np.dtype(self.profile.dtype)
        return self._resources.enter_context(PlaneFile(path, shape_yx, dtype, self.profile.count))

    @property
    def _work_folder(self) -> Path:
        if self._folder is None:
            raise ValueError("a CogWriter must be entered with `with` before it is used")
        return self._folder

    def _opened(self) -> PlaneFile:
        if self._plane is None:
            raise ValueError("a CogWriter must be entered with `with` before it is used")
        return self._plane

    def _check_strip(self, bands: NDArray[Any], rows: slice) -> None:
        height, width = self.profile.shape_yx
        if bands.shape[0] != self.profile.count or bands.shape[2] != width:
            raise ValueError(
                f"a strip must have {self.profile.count} band(s) of {width} columns, "
                f"got shape {bands.shape}"
            )
        if bands.dtype != self.profile.dtype:
            raise ValueError(f"a strip must be {self.profile.dtype}, got {bands.dtype}")
        if not 0 <= rows.start < rows.stop <= height:
            raise ValueError(f"rows {rows.start}..{rows.stop} are not within 0..{height}")
        if self._is_written[rows].any():
            raise ValueError(f"some of the rows {rows.start}..{rows.stop} were written before")

    def _build_pyramid(self) -> list[PlaneFile]:
        planes = [self._opened()]
        for level, shape_yx in enumerate(overview_shapes(self.profile.shape_yx, BLOCK_PX), start=1):
            plane = self._open_plane(level, shape_yx)
            reduce_plane(planes[-1], plane, self.profile.overviews, self._threads)
            planes.append(plane)
        return planes

    def _copy(self, planes: list[PlaneFile]) -> Path:
        for level in reversed(range(len(planes))):
            vrt = _build_vrt(self.profile, planes, level)
            (self._work_folder / f"level{level}.vrt").write_bytes(vrt)
        target = self._work_folder / "finished.tif"
        with rasterio.Env(GDAL_CACHEMAX=self._cache_mb, GDAL_PAM_ENABLED="NO"):
            rasterio.shutil.copy(
                self._work_folder / "level0.vrt",
                target,
                **_creation_options(self.profile, self._threads),
            )
        check_complete(target, images=len(planes))
        return target

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < (needed := _least_bytes(self.profile)):
            raise self._disk_full(f"at least {_megabytes(needed)}", free)

    def _explain(self, error: Exception) -> OutputError:
        """The user's message for a failed write; GDAL's own is about strips and scanlines."""
        # GDAL's errors have an `errno` too, which is a number of its own.
        number = error.errno if isinstance(error, OSError) else None
        folder = self.path.parent
        if number in _PERMISSION_ERRNOS:
            return OutputError(
                f"cannot write {self.path}: no permission to write into {folder}; "
                "choose another output folder"
            )
        if not folder.is_dir():
            return OutputError(f"cannot write {self.path}: there is no folder {folder}")
        free = shutil.disk_usage(folder).free
        if self._folder is not None and self._folder.is_dir():
            free += allocated_bytes(self._folder)
        needed = _most_bytes(self.profile)
        if number in _FULL_ERRNOS or free < needed:
            return self._disk_full(f"up to {_megabytes(needed)}", free)
        return OutputError(f"cannot write {self.path}: {error}")

    def _disk_full(self, needed: str, free_bytes: int) -> OutputError:
        return OutputError(
            f"cannot write {self.path}: the disk is full, it needs {needed} and "
            f"{_megabytes(free_bytes)} are free; free some space or choose another output folder"
        )


def _least_bytes(profile: CogProfile) -> int:
    """What is certainly needed: the plain pixels; of several bands half, some may be empty."""
    return profile.raw_bytes if profile.count == 1 else profile.raw_bytes // 2


def _most_bytes(profile: CogProfile) -> int:
    """Space for the plain pixels with overviews (4/3), and for a COG half as large."""
    pixels = profile.raw_bytes * 4 // 3
    return pixels + pixels // 2


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.0f} MB"


def _creation_options(profile: CogProfile, threads: int) -> dict[str, str]:
    """Options of GDAL's GTiff driver that make a COG of a raster with overviews.

    Its COG driver calls it with the same ones, the files are byte for byte equal for one band;
    but it interleaves bands by pixel, which took twice the time for six (measured) and makes
    readers of one class decode all of them.
    """
    level_option = {"deflate": "ZLEVEL", "zstd": "ZSTD_LEVEL"}[profile.compression]
    return {
        "driver": "GTiff",
        "COPY_SRC_OVERVIEWS": "YES",
        "TILED": "YES",
        "BLOCKXSIZE": str(BLOCK_PX),
        "BLOCKYSIZE": str(BLOCK_PX),
        "INTERLEAVE": "BAND",
        "COMPRESS": profile.compression,
        level_option: str(profile.level),
        "PREDICTOR": str(profile.predictor),
        "BIGTIFF": "IF_SAFER",
        "NUM_THREADS": str(threads),
    }


def _build_vrt(profile: CogProfile, planes: list[PlaneFile], level: int) -> bytes:
    """GDAL's description (VRT) of one plane file; that of level 0 carries all metadata."""
    plane = planes[level]
    root = ElementTree.Element(
        "VRTDataset", rasterXSize=str(plane.shape_yx[1]), rasterYSize=str(plane.shape_yx[0])
    )
    if level == 0:
        _child(root, "SRS", f"EPSG:{profile.epsg}")
        _child(root, "GeoTransform", ", ".join(map(repr, profile.transform.to_gdal())))
        _add_metadata(root, {"AREA_OR_POINT": "Area", **profile.tags})
    for band, name in enumerate(profile.band_names):
        element = ElementTree.SubElement(
            root,
            "VRTRasterBand",
            dataType=_GDAL_TYPES[profile.dtype],
            band=str(band + 1),
            subClass="VRTRawRasterBand",
        )
        if level == 0:
            _add_band_description(element, profile, name)
        _child(element, "SourceFilename", plane.path.name, relativetoVRT="1")
        _child(element, "ImageOffset", str(plane.band_offset(band)))
        _child(element, "PixelOffset", str(plane.dtype.itemsize))
        _child(element, "LineOffset", str(plane.line_bytes))
        _child(element, "ByteOrder", "LSB" if byteorder == "little" else "MSB")
        for overview in range(1, len(planes) if level == 0 else 0):
            source = ElementTree.SubElement(element, "Overview")
            _child(source, "SourceFilename", f"level{overview}.vrt", relativeToVRT="1")
            _child(source, "SourceBand", str(band + 1))
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _add_band_description(element: ElementTree.Element, profile: CogProfile, name: str) -> None:
    _child(element, "Description", name)
    _add_metadata(element, profile.band_tags)
    if profile.nodata is not None:
        _child(element, "NoDataValue", repr(profile.nodata))
    if profile.colors is None:
        _child(element, "ColorInterp", "Gray" if profile.count == 1 else "Undefined")
        return
    _child(element, "ColorInterp", "Palette")
    table = ElementTree.SubElement(element, "ColorTable")
    for value in range(max(profile.colors) + 1):
        channels = profile.colors.get(value, (0, 0, 0, 0))
        attributes = {f"c{index}": str(one) for index, one in enumerate(channels, start=1)}
        ElementTree.SubElement(table, "Entry", attributes)


def _add_metadata(parent: ElementTree.Element, tags: Mapping[str, str]) -> None:
    if tags:
        metadata = ElementTree.SubElement(parent, "Metadata")
        for key, value in tags.items():
            _child(metadata, "MDI", value, key=key)


def _child(parent: ElementTree.Element, name: str, text: str, **attributes: str) -> None:
    ElementTree.SubElement(parent, name, attributes).text = text
