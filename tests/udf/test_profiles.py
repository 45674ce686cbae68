"""Profiles and tilings by name, and what they change."""

import copy
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kappamask_udf.errors import ModelError
from kappamask_udf.models import ModelSpec, choose_variant, parse_model_item
from kappamask_udf.models.profiles import Chosen
from kappamask_udf.pixels import Calibration
from kappamask_udf.plan import plan_window
from kappamask_udf.scaling import input_scale, lookup_table, scale_in_place
from kappamask_udf.tiling import TileAxis

from .conftest import CROP

FULL = (10980, 10980)


def kappamask_item(level: str = "l1c") -> dict[str, Any]:
    """The item of a converted network, with a file that nobody opens."""
    folder = resources.files("kappamask_udf.deeplab") / "items"
    item: dict[str, Any] = json.loads((folder / f"kappamask-v2-{level}.json").read_text())
    item["assets"]["model"] |= {"href": "none.onnx", "file:checksum": "1220" + 64 * "0"}
    return item


def kappamask(
    profile: str | None = None, tiling: str | None = None, level: str = "l1c"
) -> ModelSpec:
    return parse_model_item(kappamask_item(level), chosen=Chosen(profile, tiling))


def test_default_profile_is_sound() -> None:
    spec = kappamask()
    assert spec.profile == "sound"
    assert (spec.resampling, spec.offset_use, spec.missing_rule) == ("context", "data", "class")


def test_original_profile_does_what_km_predict_does() -> None:
    spec = kappamask("original")
    assert (spec.resampling, spec.missing_rule) == ("sinc_per_tile", "as_predicted")
    assert spec.offset_use == "data_and_maxima_twice"
    assert kappamask("original", level="l2a").offset_use == "ignored"


def test_variant_keeps_the_network_and_its_item() -> None:
    spec = kappamask()
    other = choose_variant(spec, "original", "grid-22")
    assert (other.sha256, other.href, other.item) == (spec.sha256, spec.href, spec.item)
    assert (other.profile, other.tiling_name) == ("original", "grid-22")
    assert choose_variant(spec) is spec


@pytest.mark.parametrize(
    ("profile", "tiling", "tiles_per_axis", "first_stop", "last_start"),
    [
        ("sound", None, 23, 496, 10576),
        ("original", None, 23, 496, 10576),
        ("sound", "grid-22", 22, 512, 10752),
        ("original", "grid-22", 22, 512, 10752),
        ("sound", "blend", 27, 463, 10769),
    ],
)
def test_tiles_of_a_full_product(
    profile: str, tiling: str | None, tiles_per_axis: int, first_stop: int, last_start: int
) -> None:
    spec = kappamask(profile, tiling)
    plan = plan_window(spec, FULL, None)
    assert plan.n_tiles == tiles_per_axis**2
    axis = plan.rows
    assert axis.support(0) == (0, first_stop)
    assert axis.support(axis.count - 1) == (last_start, FULL[0])


def test_mosaic_of_the_original_takes_496_then_480_pixels_per_tile() -> None:
    axis = TileAxis(FULL[0], kappamask("original").tiling)
    spans = [axis.support(index) for index in range(axis.count)]
    assert spans[0] == (0, 496)
    assert all(spans[k] == (480 * k + 16, 480 * k + 496) for k in range(1, 22))
    assert spans[22] == (480 * 22 + 16, FULL[0])


def test_count_by_stride_begins_a_tile_that_may_have_nothing_to_give() -> None:
    tiling = kappamask("original").tiling
    axis = TileAxis(490, tiling)
    assert axis.count == 2
    assert axis.tiles_touching(0, 490) == range(1)
    assert axis.support(0) == (0, 490)


@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_original_input_is_a_transcription_of_km_predict(offset: float) -> None:
    """Section 6 of the reference, in float64, with maxima shifted by two batches' worth."""
    spec = kappamask("original")
    dn = np.arange(65536)
    for index, scaling in enumerate(spec.scaling):
        maximum = scaling.spread
        for _ in range(2):
            maximum = maximum + offset / 65535
        expected = (dn / 65535 + offset / 65535 - 0.0) / (maximum - 0.0)
        expected[expected < 0] = 0
        table = lookup_table(input_scale(spec, index, Calibration(10000, offset)))
        assert table.dtype == np.float32
        assert np.abs(table - expected).max() < 1e-6


def test_example_pixel_of_the_reference() -> None:
    """B02: 0.0582 with maxima shifted twice, 0.0555 where they are shifted once."""
    spec = kappamask("original")
    scale = input_scale(spec, spec.bands.index("B02"), Calibration(10000, -1000))
    b10 = input_scale(spec, spec.bands.index("B10"), Calibration(10000, -1000))
    once = spec.scaling[1].spread - 1000 / 65535
    dn = round(0.0555 * once * 65535 + 1000)
    assert lookup_table(scale)[dn] == pytest.approx(0.0582, abs=1e-4)
    assert b10.scaling.spread == pytest.approx(0.0494, abs=5e-5)


@pytest.mark.parametrize("offset", [0.0, -1000.0])
def test_sound_input_shifts_the_data_only(offset: float) -> None:
    spec = kappamask()
    dn = np.arange(65536, dtype=np.float32)
    for index, scaling in enumerate(spec.scaling):
        values = dn.copy()
        scale_in_place(values, input_scale(spec, index, Calibration(10000, offset)))
        expected = np.maximum((dn.astype(float) + offset) / 65535, 0) / scaling.spread
        assert (
            np.abs(values / np.maximum(expected, 1) - expected / np.maximum(expected, 1)).max()
            < 1e-6
        )


def test_original_l2a_ignores_offsets() -> None:
    spec = kappamask("original", level="l2a")
    scale = input_scale(spec, 2, Calibration(10000, -1000))
    assert scale.offset == 0
    assert scale.scaling == spec.scaling[2]


def test_offset_that_eats_the_range_is_refused() -> None:
    spec = kappamask("original")
    with pytest.raises(ModelError, match=r"shifts the maximum of band B10 by twice .* -5000"):
        input_scale(spec, spec.bands.index("B10"), Calibration(10000, -5000))


@pytest.mark.parametrize(
    ("profile", "tiling", "message"),
    [
        ("orginal", None, "no profile is called 'orginal'; there are sound, original"),
        (None, "grid-23", "no tiling is called 'grid-23'; there are grid-22, blend"),
    ],
)
def test_unknown_names_are_refused_with_those_that_are_there(
    profile: str | None, tiling: str | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        choose_variant(kappamask(), profile, tiling)


def test_model_without_profiles_says_so(make_model: Callable[..., ModelSpec]) -> None:
    spec = make_model()
    assert spec.profile is None
    with pytest.raises(ModelError, match="no profile is called 'sound'; it has no profiles"):
        choose_variant(spec, "sound")


def changed(**properties: Any) -> dict[str, Any]:
    item = copy.deepcopy(kappamask_item())
    item["properties"].update({f"kappamask:{name}": value for name, value in properties.items()})
    return item


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        ({"profiles": {"sound": {"kappamask:level": "L2A"}}}, "sets kappamask:level, which no"),
        ({"resampling": "sinc"}, "kappamask:resampling must be one of context, sinc_per_tile"),
        ({"resampling": "sinc_per_tile"}, "needs kappamask:resolution 10"),
        ({"offset": "twice"}, "kappamask:offset must be one of data"),
        ({"missing": "zero"}, "kappamask:missing must be one of class"),
        ({"default_profile": "wild"}, "no profile is called 'wild'"),
        ({"tiling": CROP | {"count": "all"}}, "kappamask:tiling count must be one of"),
    ],
)
def test_items_that_contradict_themselves_are_refused(
    properties: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        parse_model_item(changed(**properties))


def test_shifted_maxima_need_maxima() -> None:
    item = changed(offset="data_and_maxima_twice")
    scaling = [{"type": "z-score", "mean": 0.1, "stddev": 0.1}]
    item["properties"]["mlm:input"][0]["value_scaling"] = scaling
    with pytest.raises(ModelError, match="needs value_scaling min-max"):
        parse_model_item(item, base=Path())
