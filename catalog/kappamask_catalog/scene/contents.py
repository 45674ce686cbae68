"""What a scene holds, counted while it is written: the figures of the metadata."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.classes import MaskClass


@dataclass
class SceneContents:
    """Pixel counts that grow strip by strip."""

    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(6, np.int64))
    """Pixels at 10 m per `MaskClass`."""
    scl: NDArray[np.int64] = field(default_factory=lambda: np.zeros(12, np.int64))
    """Pixels at 20 m per class of the Level-2A scene classification."""

    def add_truth(self, classes: NDArray[np.uint8]) -> None:
        """Count a strip of truth classes."""
        self.truth += np.bincount(classes.ravel(), minlength=self.truth.size)

    def add_scl(self, classes: NDArray[np.uint8]) -> None:
        """Count a strip of scene classes."""
        self.scl += np.bincount(classes.ravel(), minlength=self.scl.size)

    @property
    def cloudy_percentage(self) -> float:
        """Cloud and semi-transparent cloud over pixels with data."""
        valid = self.truth.sum() - self.truth[MaskClass.MISSING]
        cloudy = self.truth[MaskClass.CLOUD] + self.truth[MaskClass.SEMI_TRANSPARENT_CLOUD]
        return 100.0 * float(cloudy) / max(1.0, float(valid))

    @property
    def missing_percentage(self) -> float:
        """Pixels without data over all pixels."""
        return 100.0 * float(self.truth[MaskClass.MISSING]) / max(1.0, float(self.truth.sum()))

    def scl_percentage(self, scene_class: int) -> float:
        """One scene class over pixels with data at 20 m."""
        valid = self.scl[1:].sum()
        return 100.0 * float(self.scl[scene_class]) / max(1.0, float(valid))
