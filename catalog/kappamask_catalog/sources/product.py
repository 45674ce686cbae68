"""One Sentinel-2 product, ready to be read: its item, its grid and its pixels."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pystac
from affine import Affine
from numpy.typing import NDArray

from kappamask_catalog.sources.archive import FileStore
from kappamask_catalog.sources.assets import BandAsset
from kappamask_catalog.sources.calibration import asset_calibration, is_offset_applied
from kappamask_catalog.sources.documents import local_path
from kappamask_catalog.sources.grid import ProductGrid
from kappamask_catalog.sources.masks import BandMasks
from kappamask_catalog.sources.rasters import Checksum, RasterFile, as_dn, verify_checksum
from kappamask_catalog.sources.reading import ReadOptions
from kappamask_udf.errors import MissingBandError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, Calibration, Level, PixelWindow


@dataclass(frozen=True)
class ProductParts:
    """What a product is put together from."""

    item: pystac.Item
    """Its STAC item, asset hrefs absolute."""
    location: str
    """What the user gave."""
    level: Level
    grid: ProductGrid
    bands: Mapping[str, BandAsset]
    """The finest raster of each band, by band name."""
    calibrations: Mapping[str, Calibration]
    """By band name, from the product's own metadata; empty where that could not be read."""
    baseline: str | None
    """Processing baseline such as `05.09`."""
    masks: BandMasks | None
    """`None` where the product has none."""
    absent_masks: tuple[str, ...]
    """Masks that the product names but does not have."""
    store: FileStore
    """Where local files come from."""
    checksums: Mapping[Path, Checksum] = field(default_factory=dict)
    """Of local files; empty where they are not to be verified."""
    options: ReadOptions = field(default_factory=ReadOptions)
    """What the item does not tell."""


class Product:
    """A product as the engine reads it (`kappamask_udf.pixels.BandSource`).

    A context manager; `close` gives back files and temporary folders. Bands may be read from
    several threads; reads of one band wait for each other.
    """

    def __init__(self, parts: ProductParts, resources: ExitStack) -> None:
        self._parts = parts
        self._resources = resources
        self._files = {band: self._describe(asset) for band, asset in parts.bands.items()}

    def __repr__(self) -> str:
        return f"<Product {self.id} {self.level}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all files and removes what was unpacked; the product cannot be read any more."""
        for file in self._files.values():
            file.close()
        if self._parts.masks is not None:
            self._parts.masks.close()
        self._resources.close()

    @property
    def item(self) -> pystac.Item:
        """The STAC item, with absolute hrefs. Those of an archive are valid until `close`."""
        return self._parts.item

    @property
    def id(self) -> str:
        """Id of the STAC item."""
        return self._parts.item.id

    @property
    def location(self) -> str:
        """Path or URL from which the product was opened."""
        return self._parts.location

    @property
    def level(self) -> Level:
        """Processing level."""
        return self._parts.level

    @property
    def grid(self) -> ProductGrid:
        """The product's grids."""
        return self._parts.grid

    @property
    def epsg(self) -> int:
        """Code of the UTM zone."""
        return self._parts.grid.epsg

    @property
    def transform(self) -> Affine:
        """From (column, row) of the 10 m grid to (easting, northing) in metres, of corners."""
        return self._parts.grid.transform_at(NATIVE_RESOLUTION_M)

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the 10 m grid."""
        return self._parts.grid.shape_yx

    @property
    def processing_baseline(self) -> str | None:
        """Such as `05.09`, `None` if it is not told."""
        return self._parts.baseline

    @property
    def cloud_cover(self) -> float | None:
        """The product's own figure in percent, `None` if it has none."""
        value = self.item.properties.get("eo:cloud_cover")
        return None if value is None else float(value)

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands that the item has, in its order."""
        return tuple(self._parts.bands)

    @property
    def absent_masks(self) -> tuple[str, ...]:
        """File names of masks that the product's metadata names but that are not there."""
        return self._parts.absent_masks

    def band_resolution_m(self, band: str) -> int:
        """Metres per pixel of the band's finest raster.

        Raises:
            MissingBandError: the product has no such band, or its file is missing.
        """
        asset = self._asset(band)
        path = local_path(asset.href)
        if path is not None and not self._parts.store.has(path):
            raise MissingBandError(
                f"the file of band {band} is missing: {path}; get the product again"
            )
        return asset.resolution_m

    def block_rows(self, band: str) -> int:
        """Rows of the file's own blocks; of low blocks as many as come near 512 rows."""
        return self._file(band).block_rows()

    def calibration(self, band: str) -> Calibration:
        """How to read the digital numbers of a band.

        Raises:
            MissingBandError: there is no such band.
            ProductError: nothing tells its calibration.
        """
        asset = self._asset(band)
        is_applied = self._is_offset_applied() and not asset.is_original
        own = self._parts.calibrations.get(band)
        if own is not None:
            return Calibration(own.quantification) if is_applied else own
        return asset_calibration(asset.fields, band, is_applied, self.processing_baseline)

    def read_dn(self, band: str, window: PixelWindow) -> NDArray[np.uint16]:
        """(rows, cols) uint16 digital numbers of a window of the band's own grid.

        Raises:
            MissingBandError: there is no such band or file.
            CorruptDataError: the file cannot be decoded, or does not fit the product.
            ValueError: the window leaves the grid.
        """
        file = self._file(band)
        return as_dn(file.read(window), file)

    def read_lost(self, bands: Sequence[str], window: PixelWindow) -> NDArray[np.bool_] | None:
        """(rows, cols) bool on the 10 m grid: outside the detector footprint of one of the bands
        or lost on the way; `None` where the product has no masks of these bands.

        Raises:
            CorruptDataError: a mask is there but cannot be read.
        """
        rows, cols = self.shape_yx
        if window.row0 < 0 or window.col0 < 0 or window.row1 > rows or window.col1 > cols:
            raise ValueError(f"window {window} leaves the {rows} x {cols} grid")
        masks = self._parts.masks
        return None if masks is None else masks.read_lost(bands, window)

    def _is_offset_applied(self) -> bool:
        rule = self._parts.options.offset
        if rule == "property":
            return is_offset_applied(self.item.properties)
        return rule == "applied"

    def _asset(self, band: str) -> BandAsset:
        if band not in self._parts.bands:
            raise MissingBandError(
                f"{self.id} ({self.level}) has no band {band}; it has "
                f"{', '.join(self._parts.bands) or 'none'}"
            )
        return self._parts.bands[band]

    def _file(self, band: str) -> RasterFile:
        self._asset(band)
        return self._files[band]

    def _describe(self, asset: BandAsset) -> RasterFile:
        prepare: Callable[[Path], None] = partial(
            _prepare, store=self._parts.store, checksums=self._parts.checksums
        )
        return RasterFile(
            asset.href,
            f"band {asset.band}",
            self._parts.grid,
            asset.resolution_m,
            prepare,
            self._parts.options.s3,
        )


def _prepare(path: Path, store: FileStore, checksums: Mapping[Path, Checksum]) -> None:
    store.bring(path)
    verify_checksum(path, checksums)
