"""How far two networks give the same mask, and what both are worth against a truth."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from kappamask_catalog.scores import Agreement
from kappamask_catalog.sources.product import Product
from kappamask_udf.classes import MaskClass
from kappamask_udf.engine import predict
from kappamask_udf.errors import ProductError
from kappamask_udf.session import ModelSession

_SURFACE = (
    MaskClass.CLEAR, MaskClass.CLOUD_SHADOW, MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD,
)  # fmt: skip


@dataclass
class MaskAgreement:
    """Pixels by class in two masks and, where it is known, in the truth.

    Pixels that both masks call missing do not count, nor do those without a true class.
    """

    products: list[str] = field(default_factory=list)
    between: NDArray[np.int64] = field(default_factory=lambda: _no_counts())
    """Variant (rows) and model (columns)."""
    model: NDArray[np.int64] = field(default_factory=lambda: _no_counts())
    """Model (rows) and truth (columns)."""
    variant: NDArray[np.int64] = field(default_factory=lambda: _no_counts())
    """Variant (rows) and truth (columns)."""

    def count(self, variant: NDArray[np.uint8], model: NDArray[np.uint8]) -> None:
        """Add the same pixels of both masks."""
        added = _pairs(variant, model)
        added[MaskClass.MISSING, MaskClass.MISSING] = 0
        self.between += added

    def count_truth(
        self, variant: NDArray[np.uint8], model: NDArray[np.uint8], truth: NDArray[np.uint8]
    ) -> None:
        """Add the same pixels of both masks and their true classes."""
        for counts, mask in ((self.variant, variant), (self.model, model)):
            added = _pairs(mask, truth)
            added[:, [MaskClass.MISSING, MaskClass.UNDEFINED]] = 0
            counts += added

    @property
    def n_pixels(self) -> int:
        """Pixels of 10 m that were compared."""
        return int(self.between.sum())

    @property
    def argmax(self) -> float:
        """Share of pixels with the same class in both masks, 0-1."""
        return float(np.trace(self.between) / max(self.n_pixels, 1))

    def dice_of_model(self, min_share: float = 0.0) -> dict[MaskClass, float]:
        """Dice between both masks, for classes with more than a share of the model's mask."""
        shares = self.between.sum(axis=0) / max(self.n_pixels, 1)
        dice = {one: Agreement(self.between).dice([one]) for one in MaskClass}
        return {
            one: value
            for one, value in dice.items()
            if value is not None and shares[one] > min_share
        }

    def dice_of_truth(self) -> dict[MaskClass, tuple[float | None, float | None]]:
        """Dice of the model and of the variant with the truth, where there is a truth."""
        both = Agreement(self.model), Agreement(self.variant)
        return {
            one: (both[0].dice([one]), both[1].dice([one]))
            for one in _SURFACE
            if self.model[:, one].sum()
        }

    def as_dict(self, min_share: float) -> dict[str, Any]:
        """For the item: `dice` against the model's mask, `truth_dice` against the truth."""
        decisive = self.dice_of_model(min_share)
        document: dict[str, Any] = {
            "measured_on": self.products,
            "pixels": self.n_pixels,
            "argmax": round(self.argmax, 6),
            "dice": {one.stac_name: round(dice, 6) for one, dice in self.dice_of_model().items()},
            "decisive_classes": [one.stac_name for one in decisive],
        }
        truth = self.dice_of_truth()
        if truth:
            document["truth_dice"] = {
                one.stac_name: {"model": _rounded(model), "variant": _rounded(variant)}
                for one, (model, variant) in truth.items()
            }
        return document


def _no_counts() -> NDArray[np.int64]:
    return np.zeros((len(MaskClass), len(MaskClass)), np.int64)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def compare_sessions(
    model: ModelSession,
    variant: ModelSession,
    products: Sequence[tuple[Product, Path | None]],
    progress: Callable[[str, float], None],
) -> MaskAgreement:
    """Masks of whole products by a model and by its variant, side by side.

    Args:
        model: the model.
        variant: a network with the same tiles.
        products: to mask, each with a raster of its true classes if there is one.
        progress: called with what is being done and the share of it that is done.

    Raises:
        KappamaskError: a product or a truth cannot be read.
    """
    agreement = MaskAgreement()
    progress("measuring", 0.0)
    for index, (product, truth) in enumerate(products):

        def advance(done: int, total: int, index: int = index) -> None:
            progress("measuring", (index + done / total) / len(products))

        agreement.products.append(product.id)
        with ExitStack() as stack:
            rows = None if truth is None else stack.enter_context(_TruthRows(truth, product))
            pairs = zip(
                predict(product, model), predict(product, variant, progress=advance), strict=True
            )
            for ours, theirs in pairs:
                agreement.count(theirs.classes, ours.classes)
                if rows is not None:
                    true = rows.read(ours.row0, len(ours.classes))
                    agreement.count_truth(theirs.classes, ours.classes, true)
    if not agreement.n_pixels:
        raise ProductError("the products to measure on hold no valid pixel; give others")
    return agreement


def _pairs(rows: NDArray[np.uint8], cols: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(6, 6) pixels by both classes."""
    n = len(MaskClass)
    pairs = rows.astype(np.intp) * n + cols
    return np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n)


class _TruthRows:
    """Rows of a raster of true classes that must lie on a product's grid."""

    def __init__(self, path: Path, product: Product):
        self._path, self._product = path, product

    def __enter__(self) -> "_TruthRows":
        try:
            self._dataset = rasterio.open(self._path)
        except rasterio.errors.RasterioError as error:
            raise ProductError(f"cannot read the truth {self._path}: {error}") from error
        if self._dataset.shape != self._product.shape_yx:
            found, wanted = self._dataset.shape, self._product.shape_yx
            self._dataset.close()
            raise ProductError(
                f"the truth {self._path} has {found} pixels, {self._product.id} has {wanted}"
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._dataset.close()

    def read(self, row0: int, n_rows: int) -> NDArray[np.uint8]:
        """(n_rows, cols) uint8."""
        rows = ((row0, row0 + n_rows), (0, self._dataset.width))
        values: NDArray[np.uint8] = self._dataset.read(1, window=rows).astype(np.uint8)
        return values
