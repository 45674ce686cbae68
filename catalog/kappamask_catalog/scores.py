"""How well a mask agrees with the truth: Dice per class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import ProductError

_ROWS = 512
CLOUDS = (MaskClass.SEMI_TRANSPARENT_CLOUD, MaskClass.CLOUD)


@dataclass(frozen=True)
class Agreement:
    """Pixels by predicted (rows) and true (columns) class, (6, 6) int64."""

    counts: NDArray[np.int64]

    def dice(self, classes: Sequence[MaskClass]) -> float | None:
        """Dice coefficient 0-1 of some classes taken as one; `None` if neither side has any.

        Dice = 2 |P and T| / (|P| + |T|) (Dice 1945), the F1 score of a segmentation.
        """
        index = list(classes)
        predicted, true = self.counts[index].sum(), self.counts[:, index].sum()
        if predicted + true == 0:
            return None
        return float(2 * self.counts[np.ix_(index, index)].sum() / (predicted + true))

    def true_pixels(self, mask_class: MaskClass) -> int:
        """Pixels that are of a class."""
        return int(self.counts[:, mask_class].sum())

    def predicted_pixels(self, mask_class: MaskClass) -> int:
        """Pixels that were given a class."""
        return int(self.counts[mask_class].sum())


def compare_masks(predicted: Path, truth: Path) -> Agreement:
    """Compare two rasters of class ids with one grid, block of rows by block.

    Raises:
        ProductError: one of them cannot be read, or their grids differ.
    """
    n = len(MaskClass)
    counts = np.zeros((n, n), np.int64)
    try:
        with rasterio.open(predicted) as ours, rasterio.open(truth) as theirs:
            if (ours.shape, ours.transform, ours.crs) != (
                theirs.shape, theirs.transform, theirs.crs,
            ):  # fmt: skip
                raise ProductError(f"{predicted} and {truth} are not on one grid")
            for row0 in range(0, ours.height, _ROWS):
                rows = ((row0, min(row0 + _ROWS, ours.height)), (0, ours.width))
                pairs = ours.read(1, window=rows).astype(np.intp) * n + theirs.read(1, window=rows)
                counts += np.bincount(pairs.ravel(), minlength=n * n).reshape(n, n)
    except rasterio.errors.RasterioError as error:
        raise ProductError(f"cannot compare {predicted} with {truth}: {error}") from error
    return Agreement(counts)


@dataclass(frozen=True)
class DiceRow:
    """One line of a table of scores."""

    title: str
    dice: float | None
    """0-1; `None` if the model cannot give the class or neither side has it."""
    dice_text: str
    """For tables: the number, `not predicted` or `none there`."""
    predicted_px: int
    true_px: int


def dice_rows(agreement: Agreement, not_predicted: Sequence[MaskClass]) -> list[DiceRow]:
    """A line per class that occurs on either side, and one for both cloud classes together."""
    groups: list[tuple[str, tuple[MaskClass, ...]]] = [
        (mask_class.style.title, (mask_class,)) for mask_class in MaskClass
    ]
    groups.append(("cloud + semi-transparent", CLOUDS))
    rows = (_dice_row(agreement, title, group, not_predicted) for title, group in groups)
    return [row for row in rows if row.predicted_px or row.true_px or row.dice is not None]


def _dice_row(
    agreement: Agreement,
    title: str,
    group: tuple[MaskClass, ...],
    not_predicted: Sequence[MaskClass],
) -> DiceRow:
    is_impossible = all(mask_class in not_predicted for mask_class in group)
    dice = None if is_impossible else agreement.dice(group)
    text = "none there" if dice is None else f"{dice:.3f}"
    return DiceRow(
        title=title,
        dice=dice,
        dice_text="not predicted" if is_impossible else text,
        predicted_px=sum(agreement.predicted_pixels(mask_class) for mask_class in group),
        true_px=sum(agreement.true_pixels(mask_class) for mask_class in group),
    )
