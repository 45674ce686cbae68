"""From an open product to a published result: predict, finish, write, describe, publish at once."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from kappamask_catalog.sources.aoi import Aoi, AoiWindow, aoi_window
from kappamask_catalog.sources.product import Product
from kappamask_udf.classes import MaskClass
from kappamask_udf.engine import Progress, check_level, predict
from kappamask_udf.finishing import (
    coarsen_strips,
    crop_strips,
    dilate_strips,
    dilation_radius_px,
)
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow
from kappamask_udf.session import Device, ModelSession, open_session
from kappamask_udf.stitching import MaskStrip

RESULT_RESOLUTIONS_M = (10, 20, 60)


@dataclass(frozen=True)
class MaskOptions:
    """What a user may ask of a mask."""

    device: Device = "auto"
    with_probabilities: bool = False
    aoi: Aoi | None = None
    dilation_m: float = 0.0
    """Radius by which shadow and both cloud classes grow, metres."""
    resolution_m: int = NATIVE_RESOLUTION_M
    """10, 20 or 60: classes by mode, probabilities by mean."""
    batch_size: int | None = None
    threads: int | None = None
    overwrite: bool = False
    engine_cache: Path | None = None
    """Where TensorRT's engines are kept between processes, if anywhere."""


@dataclass
class ClassCounts:
    """10 m pixels per class inside the area, before dilation."""

    by_class: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(MaskClass), np.int64))

    def add(self, classes: NDArray[np.uint8], is_outside: NDArray[np.bool_] | None) -> None:
        """Count the pixels of some rows, those outside the area as undefined."""
        counts = np.bincount(classes.ravel(), minlength=len(MaskClass))
        if is_outside is not None:
            outside = np.bincount(classes[is_outside], minlength=len(MaskClass))
            counts -= outside
            counts[MaskClass.UNDEFINED] += outside.sum()
        self.by_class += counts

    def as_mapping(self) -> dict[MaskClass, int]:
        """By class."""
        return {mask_class: int(self.by_class[mask_class]) for mask_class in MaskClass}


@dataclass(frozen=True)
class MaskJob:
    """One product, one model, one area: everything that decides what the strips hold."""

    product: Product
    session: ModelSession
    options: MaskOptions
    area: AoiWindow | None
    window: PixelWindow
    """10 m pixels of the result, whole coarse pixels where the product allows."""

    @property
    def factor(self) -> int:
        """10 m pixels per result pixel along an axis."""
        return self.options.resolution_m // NATIVE_RESOLUTION_M

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        rows, cols = self.window.shape_yx
        return -(-rows // self.factor), -(-cols // self.factor)

    @property
    def transform(self) -> Affine:
        """Of the result's pixels."""
        native = self.product.transform
        return Affine(
            native.a * self.factor, 0, native.c + native.a * self.window.col0,
            0, native.e * self.factor, native.f + native.e * self.window.row0,
        )  # fmt: skip

    def strips(
        self, counts: ClassCounts, progress: Progress | None = None
    ) -> Generator[MaskStrip, None, None]:
        """The result from top to bottom; rows count result pixels from the result's upper edge.

        Classes are counted on the way, before dilation.
        """
        read = self._read_window()
        predicted = predict(
            self.product, self.session, read,
            batch_size=self.options.batch_size, threads=self.options.threads,
            with_probabilities=self.options.with_probabilities, progress=progress,
        )  # fmt: skip
        counted = self._counted(predicted, read, counts)
        grown = dilate_strips(counted, self.options.dilation_m, read.row1)
        inside = PixelWindow(
            self.window.row0, self.window.row1,
            self.window.col0 - read.col0, self.window.col1 - read.col0,
        )  # fmt: skip
        placed = self._placed(crop_strips(grown, inside))
        yield from coarsen_strips(placed, self.factor, self.window.shape_yx[0])

    def _read_window(self) -> PixelWindow:
        """The window with the margin that dilation looks at beyond it."""
        margin = dilation_radius_px(self.options.dilation_m)
        return self.window.padded(margin).clipped(self.product.shape_yx)

    def _outside(self, row0: int, rows: int) -> NDArray[np.bool_] | None:
        if self.area is None:
            return None
        return self.area.outside(PixelWindow(row0, row0 + rows, self.window.col0, self.window.col1))

    def _counted(
        self, strips: Iterator[MaskStrip], read: PixelWindow, counts: ClassCounts
    ) -> Iterator[MaskStrip]:
        cols = slice(self.window.col0 - read.col0, self.window.col1 - read.col0)
        for strip in strips:
            first = max(self.window.row0 - strip.row0, 0)
            inside = strip.classes[first : max(self.window.row1 - strip.row0, 0), cols]
            if len(inside):
                counts.add(inside, self._outside(strip.row0 + first, len(inside)))
            yield strip

    def _placed(self, strips: Iterator[MaskStrip]) -> Iterator[MaskStrip]:
        """Strips with rows counted from the window's edge and pixels outside the area undefined."""
        for strip in strips:
            classes, planes = strip.classes, strip.probabilities
            is_outside = self._outside(strip.row0, len(classes))
            if is_outside is not None:
                classes = np.where(is_outside, np.uint8(MaskClass.UNDEFINED), classes)
                if planes is not None:
                    planes = np.where(is_outside, np.float32(0), planes)
            yield MaskStrip(strip.row0 - self.window.row0, classes, planes)


def prepare_mask(product: Product, spec: ModelSpec, options: MaskOptions) -> MaskJob:
    """Everything that can be refused before a pixel is read.

    Raises:
        LevelMismatchError: the model is made for another level.
        MissingBandError: the product lacks a band that the model needs.
        AoiError: the area does not meet the product.
        ModelError, DeviceError, MissingExtraError: the model cannot be run.
    """
    check_level(spec, product)
    for band in spec.bands:
        product.band_resolution_m(band)
    factor = options.resolution_m // NATIVE_RESOLUTION_M
    area = None if options.aoi is None else aoi_window(options.aoi, product, factor)
    rows, cols = product.shape_yx
    window = PixelWindow(0, rows, 0, cols) if area is None else area.window
    session = open_session(spec, options.device, options.threads, engine_cache=options.engine_cache)
    return MaskJob(product, session, options, area, window)
