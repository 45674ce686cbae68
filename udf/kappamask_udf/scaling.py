"""From digital numbers to network input, as a model's item says."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.errors import ModelError
from kappamask_udf.models.spec import BandScaling, ModelSpec
from kappamask_udf.pixels import SATURATED_DN, Calibration


@dataclass(frozen=True)
class InputScale:
    """Network input from digital numbers: `(clip((dn + offset) / divisor) - center) / spread`."""

    offset: float
    divisor: float
    clip: tuple[float | None, float | None]
    scaling: BandScaling


def input_scale(spec: ModelSpec, index: int, calibration: Calibration) -> InputScale:
    """How band `index` of a model is scaled in a product.

    Raises:
        ModelError: the product's offset leaves nothing of the range that the model expects.
    """
    divisor = calibration.quantification if spec.input_unit == "reflectance" else SATURATED_DN
    offset = 0.0 if spec.offset_use == "ignored" else calibration.offset
    scaling = spec.scaling[index]
    if spec.offset_use == "data_and_maxima_twice":
        spread = scaling.spread + 2 * offset / divisor
        if not spread > 0:
            raise ModelError(
                f"profile {spec.profile!r} of model {spec.name!r} shifts the maximum of band "
                f"{spec.bands[index]} by twice the product's offset of {offset:g}, which leaves "
                f"{spread:g}; choose another profile"
            )
        scaling = BandScaling(scaling.center, spread)
    return InputScale(offset, divisor, spec.clip, scaling)


def scale_in_place(values: NDArray[np.float32], scale: InputScale) -> None:
    """Turn float32 digital numbers, as stored, into network input, in place.

    One factor and one term, as passes over memory are what this costs.
    """
    spread = scale.scaling.spread
    values *= np.float32(1 / (scale.divisor * spread))
    term = (scale.offset / scale.divisor - scale.scaling.center) / spread
    if term:
        values += np.float32(term)
    low, high = (_scaled(bound, scale) for bound in scale.clip)
    if low is not None or high is not None:
        np.clip(values, low, high, out=values)


def _scaled(value: float | None, scale: InputScale) -> np.float32 | None:
    """A physical value (reflectance 0-1, or DN / 65535) as network input, not clipped."""
    if value is None:
        return None
    return np.float32((value - scale.scaling.center) / scale.scaling.spread)


def scaled_zero(scale: InputScale) -> np.float32:
    """What reflectance 0 of a band is as network input: the value of missing pixels."""
    zero = np.full(1, -scale.offset, np.float32)
    scale_in_place(zero, scale)
    return np.float32(zero[0])


def lookup_table(scale: InputScale) -> NDArray[np.float32]:
    """(65536,) network input of every digital number, computed in float64."""
    values = (np.arange(SATURATED_DN + 1, dtype=np.float64) + scale.offset) / scale.divisor
    low, high = scale.clip
    if low is not None or high is not None:
        values = np.clip(values, low, high)
    return ((values - scale.scaling.center) / scale.scaling.spread).astype(np.float32)
