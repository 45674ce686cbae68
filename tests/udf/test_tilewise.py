"""Tiles as km_predict cuts them, against GraphicsMagick and a plain transcription."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kappamask_udf.bands import BANDS
from kappamask_udf.engine import predict
from kappamask_udf.models import ModelSpec, Tiling, parse_model_item
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.plan import plan_window
from kappamask_udf.resampling import resize_sinc, sinc_weights
from kappamask_udf.session import ModelSession, open_session
from kappamask_udf.tilewise import TilewiseReader, band_cut

from .conftest import ArraySource, model_item, write_network

KAPPAMASK = Tiling(512, 480, 0, "crop", crop_px=16)
PAPER = Tiling(512, 512, 0, "crop")
GRAPHICSMAGICK = Path(__file__).parent / "data" / "graphicsmagick_sinc.npz"
BANDS_USED = ["B02", "B11", "B10"]
TILING = {"tile": 96, "stride": 90, "origin": 0, "stitch": "crop", "crop": 3, "count": "stride"}


@pytest.mark.parametrize(("n_in", "n_out"), [(17, 102), (32, 64), (17, 100)])
def test_sinc_is_that_of_graphicsmagick(n_in: int, n_out: int) -> None:
    with np.load(GRAPHICSMAGICK) as file:
        given, wanted = file[f"in_{n_in}_{n_out}"], file[f"out_{n_in}_{n_out}"]
    answer = resize_sinc(given, n_out)
    assert answer.dtype == np.uint16
    assert np.abs(answer.astype(int) - wanted).max() <= 1


def sinc_by_the_formula(values: NDArray[np.float64], n_out: int) -> NDArray[np.float64]:
    """Along the first axis, one output at a time, to 16-bit pixels."""
    n_in = len(values)
    rows = []
    for place in range(n_out):
        centre = (place + 0.5) * n_in / n_out
        total, weight_sum = 0.0, 0.0
        for index in range(n_in):
            x = index + 0.5 - centre
            if abs(x) > 4:
                continue
            window = 0.42 + 0.5 * np.cos(np.pi * x / 4) + 0.08 * np.cos(2 * np.pi * x / 4)
            weight = window * (1.0 if x == 0 else np.sin(np.pi * x) / (np.pi * x))
            total = total + weight * values[index]
            weight_sum += weight
        rows.append(total / weight_sum)
    return np.round(np.clip(np.array(rows), 0, 65535))


@pytest.mark.parametrize("n_in", [85, 256])
def test_sinc_is_within_one_number_of_the_formula(n_in: int) -> None:
    rng = np.random.default_rng(n_in)
    dn = rng.integers(0, 65536, (n_in, n_in)).astype(np.uint16)
    dn[: n_in // 3] = 0
    expected = sinc_by_the_formula(sinc_by_the_formula(dn.astype(float), 512).T, 512).T
    assert np.abs(resize_sinc(dn, 512) - expected).max() <= 1


def test_shrinking_is_refused() -> None:
    with pytest.raises(ValueError, match="only stretching is done, got 100 to 64 pixels"):
        sinc_weights(100, 64)


@pytest.mark.parametrize(
    ("tiling", "step", "starts", "size"),
    [
        (KAPPAMASK, 1, [0, 480, 960, 10560], 512),
        (KAPPAMASK, 2, [0, 240, 480, 5280], 256),
        (KAPPAMASK, 6, [0, 80, 160, 1760], 85),
        (PAPER, 1, [0, 512, 1024, 11264], 512),
        (PAPER, 6, [0, 85, 170, 1877], 86),
    ],
)
def test_cut_of_a_band(tiling: Tiling, step: int, starts: list[int], size: int) -> None:
    assert [band_cut(tiling, index, step) for index in (0, 1, 2, 22)] == [
        (start, size) for start in starts
    ]


@pytest.fixture
def make_original(tmp_path: Path) -> Callable[..., ModelSpec]:
    """A small model that is run as km_predict runs its own."""

    def make(tiling: dict[str, Any] = TILING) -> ModelSpec:
        path = tmp_path / "small.onnx"
        write_network(path, 3, 3, tiling["tile"], nhwc=False)
        item = model_item(
            path, tiling=tiling, resolution=10, input_unit="dn_fraction", clip=[0.0, None]
        )
        scaling = [{"type": "min-max", "minimum": 0.0, "maximum": 0.3}]
        item["properties"]["mlm:input"][0]["value_scaling"] = scaling
        item["properties"] |= {
            "kappamask:resampling": "sinc_per_tile",
            "kappamask:offset": "data_and_maxima_twice",
            "kappamask:missing": "as_predicted",
        }
        return parse_model_item(item, base=tmp_path)

    return make


def original_tile(source: ArraySource, row: int, col: int) -> NDArray[np.float64]:
    """A tile as cm_vsm and km_predict make it: 96 px every 90, overlap 6."""
    planes = []
    for band in BANDS_USED:
        step = BANDS[band].resolution_m // 10
        size = 90 // step + int(6 / step)
        padded = np.pad(source.dn[band], ((0, 96), (0, 96)))
        top, left = 90 * row // step, 90 * col // step
        cut = padded[top : top + size, left : left + size]
        dn = cut if step == 1 else resize_sinc(cut, 96)
        shifted = dn / 65535 + source.offset / 65535
        planes.append(np.maximum(shifted / (0.3 + 2 * source.offset / 65535), 0))
    return np.stack(planes)


def source_with_gaps(shape_yx: tuple[int, int]) -> ArraySource:
    source = ArraySource(shape_yx)
    source.dn["B02"][40:60, 100:160] = 0
    source.lost = np.zeros(shape_yx, np.bool_)
    source.lost[:30, :30] = True
    return source


@pytest.mark.parametrize("shape_yx", [(300, 264), (180, 100), (90, 91)])
def test_tiles_are_those_of_the_original(
    make_original: Callable[..., ModelSpec], shape_yx: tuple[int, int]
) -> None:
    spec, source = make_original(), source_with_gaps(shape_yx)
    plan = plan_window(spec, shape_yx, None)
    tiles = list(TilewiseReader(source, spec, plan, 2).tiles())
    assert [(tile.row, tile.col) for tile in tiles] == [
        (row, col) for row in plan.tile_rows for col in plan.tile_cols
    ]
    for tile in tiles:
        assert tile.values is not None
        assert np.abs(tile.values - original_tile(source, tile.row, tile.col)).max() < 1e-6


def original_mask(source: ArraySource, session: ModelSession) -> NDArray[np.uint8]:
    """Tiles cropped by 3 on inner sides and pasted at 90 k + 3; nothing is marked as missing."""
    n_rows, n_cols = (-(-size // 90) for size in source.shape_yx)
    canvas = np.zeros((90 * n_rows + 6, 90 * n_cols + 6), np.uint8)
    classes = np.array(session.spec.classes, np.uint8)
    for row in range(n_rows):
        for col in range(n_cols):
            tile = original_tile(source, row, col).astype(np.float32)[None]
            answer = classes[session.predict(tile)[0].argmax(axis=0)]
            top, left = 3 if row else 0, 3 if col else 0
            bottom = 93 if row < n_rows - 1 else 96
            right = 93 if col < n_cols - 1 else 96
            canvas[90 * row + top : 90 * row + bottom, 90 * col + left : 90 * col + right] = answer[
                top:bottom, left:right
            ]
    return canvas[: source.shape_yx[0], : source.shape_yx[1]]


def test_mask_is_the_mosaic_of_the_original(make_original: Callable[..., ModelSpec]) -> None:
    source = source_with_gaps((300, 264))
    session = open_session(make_original(), "cpu")
    strips = list(predict(source, session, batch_size=1))
    classes = np.concatenate([strip.classes for strip in strips])
    assert (classes == original_mask(source, session)).all()
    assert len(np.unique(classes)) > 1


@pytest.mark.parametrize("window", [(0, 30, 0, 30), (85, 200, 170, 264), (299, 300, 0, 1)])
def test_area_is_the_crop(
    make_original: Callable[..., ModelSpec], window: tuple[int, int, int, int]
) -> None:
    source, session = source_with_gaps((300, 264)), open_session(make_original(), "cpu")
    whole = np.concatenate([strip.classes for strip in predict(source, session)])
    part = np.concatenate(
        [strip.classes for strip in predict(source, session, PixelWindow(*window))]
    )
    assert (part == whole[window[0] : window[1], window[2] : window[3]]).all()


def test_rows_of_a_band_are_decoded_once(make_original: Callable[..., ModelSpec]) -> None:
    source, spec = source_with_gaps((300, 264)), make_original()
    list(TilewiseReader(source, spec, plan_window(spec, (300, 264), None), 1).tiles())
    for band in BANDS_USED:
        rows = [window for name, window in source.reads if name == band]
        assert sum(window.row1 - window.row0 for window in rows) == len(source.dn[band])


def test_pixels_without_data_are_predicted_on_the_grid_too(
    make_original: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    item = dict(make_original().item)
    item["properties"] = item["properties"] | {"kappamask:resampling": "context"}
    session = open_session(parse_model_item(item, base=tmp_path), "cpu")
    source = source_with_gaps((300, 264))
    classes = np.concatenate([strip.classes for strip in predict(source, session)])
    assert 5 not in classes
    source.dn["B02"][:] = 0
    assert 5 not in np.concatenate([strip.classes for strip in predict(source, session)])
