"""The engine against a plain transcription of its rules, and the promise of bit-equal areas."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import zoom
from scipy.signal.windows import tukey

from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.engine import predict
from kappamask_udf.errors import CorruptDataError, LevelMismatchError, ModelError
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.session import ModelSession, open_session
from kappamask_udf.stitching import MaskStrip

from .conftest import BLEND, CROP, ArraySource

MakeModel = Callable[..., ModelSpec]


def joined(strips: list[MaskStrip]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Classes and probabilities of strips that must be contiguous."""
    row = strips[0].row0
    for strip in strips:
        assert strip.row0 == row
        row += len(strip.classes)
    planes = [strip.probabilities for strip in strips if strip.probabilities is not None]
    return np.concatenate([strip.classes for strip in strips]), np.concatenate(planes, axis=1)


def run(
    source: ArraySource, session: ModelSession, window: PixelWindow | None = None, **options: object
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    return joined(
        list(predict(source, session, window, threads=2, with_probabilities=True, **options))  # type: ignore[arg-type]
    )


def expected_input(source: ArraySource, spec: ModelSpec) -> NDArray[np.float64]:
    """(bands, rows, cols) on the model's grid of a product without missing pixels whose sides are
    multiples of 60 m, straight from the rules.
    """
    planes = []
    for band in spec.bands:
        dn = source.dn[band].astype(float)
        step, factor = BANDS[band].resolution_m // 10, spec.grid_factor
        if step > factor:
            dn = zoom(dn, step // factor, order=1, grid_mode=True, mode="nearest")
        else:
            dn = np.kron(dn, np.ones((step, step)))
            rows, cols = (size // factor for size in dn.shape)
            dn = dn.reshape(rows, factor, cols, factor).mean(axis=(1, 3))
        planes.append((np.minimum((dn + source.offset) / 10000, 2.0) - 0.2) / 0.1)
    return np.stack(planes)


def expected_probabilities(
    values: NDArray[np.float64], session: ModelSession
) -> NDArray[np.float64]:
    """Tiles cut from a symmetrically padded array, weighted and added up."""
    tiling = session.spec.tiling
    n_rows, n_cols = values.shape[1:]
    pad = tiling.tile_px
    padded = np.pad(values, ((0, 0), (pad, 2 * pad), (pad, 2 * pad)), mode="symmetric")
    sums = np.zeros((len(session.spec.classes), *padded.shape[1:]))
    weights = np.zeros(padded.shape[1:])
    window = np.outer(*[tukey(tiling.tile_px, tiling.tukey_alpha)] * 2)
    for top in range(tiling.origin_px, n_rows, tiling.stride_px):
        for left in range(tiling.origin_px, n_cols, tiling.stride_px):
            part = np.s_[:, top + pad : top + 2 * pad, left + pad : left + 2 * pad]
            tile = padded[part].astype(np.float32)[None]
            sums[part] += session.predict(tile)[0] * window
            weights[part[1:]] += window
    inside = np.s_[:, pad : pad + n_rows, pad : pad + n_cols]
    return sums[inside] / weights[inside[1:]]


@pytest.mark.parametrize("resolution", [10, 20, 30, 60])
def test_predict_blended_model_equals_plain_transcription(
    make_model: MakeModel, resolution: int
) -> None:
    source = ArraySource((150, 222))
    session = open_session(make_model(resolution=resolution), "cpu", 1)
    coarse = expected_probabilities(expected_input(source, session.spec), session)
    factor = resolution // 10
    expected = np.stack([zoom(p, factor, order=1, grid_mode=True, mode="nearest") for p in coarse])

    classes, planes = run(source, session)

    assert np.abs(planes[[1, 4, 2]] - expected).max() < 1e-5
    second, best = np.sort(expected, axis=0)[-2:]
    is_tie = best - second < 1e-4
    assert (classes == np.array([1, 4, 2])[expected.argmax(0)])[~is_tie].all()


@pytest.mark.parametrize("nhwc", [False, True])
def test_predict_cropped_model_pastes_tile_centres(make_model: MakeModel, nhwc: bool) -> None:
    source = ArraySource((78, 84))
    session = open_session(make_model(resolution=10, tiling=CROP, nhwc=nhwc), "cpu", 1)
    values = expected_input(source, session.spec)
    padded = np.pad(values, ((0, 0), (0, 32), (0, 32)), mode="symmetric").astype(np.float32)
    expected = np.zeros((3, 78 + 32, 84 + 32), np.float32)
    for top in (0, 24, 48):
        for left in (0, 24, 48, 72):
            rows, cols = slice(4 if top else 0, None), slice(4 if left else 0, None)
            answer = session.predict(padded[None, :, top : top + 32, left : left + 32])[0]
            expected[:, top + rows.start : top + 32, left + cols.start : left + 32] = answer[
                :, rows, cols
            ]

    _, planes = run(source, session)

    assert np.abs(planes[[1, 4, 2]] - expected[:, :78, :84]).max() < 1e-5


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_predict_area_equals_crop_of_product_bit_for_bit(
    make_model: MakeModel, data: st.DataObject
) -> None:
    rows, cols = data.draw(st.integers(1, 230)), data.draw(st.integers(1, 230))
    resolution = data.draw(st.sampled_from([10, 20, 30, 60]))
    tiling = data.draw(st.sampled_from([BLEND, CROP]))
    source = ArraySource((rows, cols), blocks=data.draw(st.sampled_from([7, 64, 500])))
    hole = [data.draw(st.integers(0, size)) for size in (rows, rows, cols, cols)]
    for band, dn in source.dn.items():
        step = BANDS[band].resolution_m // 10
        top, bottom, left, right = (edge // step for edge in hole)
        dn[min(top, bottom) : max(top, bottom), min(left, right) : max(left, right)] = 0
    batch_size = data.draw(st.integers(1, 5))
    session = open_session(make_model(resolution=resolution, tiling=tiling), "cpu", 1)
    row0, col0 = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1))
    window = PixelWindow(
        row0, data.draw(st.integers(row0 + 1, rows)), col0, data.draw(st.integers(col0 + 1, cols))
    )

    classes, planes = run(source, session, batch_size=batch_size)
    part_classes, part_planes = run(source, session, window, batch_size=batch_size)

    crop = np.s_[window.row0 : window.row1, window.col0 : window.col1]
    assert classes.shape == (rows, cols)
    assert np.array_equal(part_classes, classes[crop])
    assert np.array_equal(part_planes, planes[:, crop[0], crop[1]])


def test_predict_batch_size_changes_ties_only(make_model: MakeModel) -> None:
    source = ArraySource((200, 300))
    session = open_session(make_model(), "cpu", 2)
    classes, planes = run(source, session, batch_size=1)
    other_classes, other_planes = run(source, session, batch_size=7)
    second, best = np.sort(planes, axis=0)[-2:]
    assert np.abs(planes - other_planes).max() < 1e-5
    assert (classes == other_classes)[best - second > 1e-4].all()


def test_predict_all_missing_product_runs_no_tile(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ArraySource((100, 100))
    for dn in source.dn.values():
        dn[:] = 0
    session = open_session(make_model(), "cpu", 1)
    calls: list[int] = []
    monkeypatch.setattr(session, "predict", lambda tiles: calls.append(len(tiles)))

    classes, planes = run(source, session)

    assert (classes == MaskClass.MISSING).all()
    assert (planes[MaskClass.MISSING] == 1).all()
    assert planes.sum() == planes[MaskClass.MISSING].sum()
    assert calls == []


def test_predict_zero_in_one_band_is_missing_over_its_whole_pixel(make_model: MakeModel) -> None:
    source = ArraySource((120, 120))
    source.dn["B11"][10, 20] = 0
    classes, _ = run(source, open_session(make_model(), "cpu", 1))
    is_missing = np.zeros((120, 120), bool)
    is_missing[20:22, 40:42] = True
    assert np.array_equal(classes == MaskClass.MISSING, is_missing)


def test_predict_zero_in_b10_is_valid(make_model: MakeModel) -> None:
    source = ArraySource((120, 120))
    source.dn["B10"][:] = 0
    classes, _ = run(source, open_session(make_model(), "cpu", 1))
    assert not (classes == MaskClass.MISSING).any()


def test_predict_zero_in_a_band_that_the_model_does_not_use_is_valid(make_model: MakeModel) -> None:
    source = ArraySource((120, 120))
    source.dn["B03"][:] = 0
    classes, _ = run(source, open_session(make_model(), "cpu", 1))
    assert not (classes == MaskClass.MISSING).any()


def test_predict_lost_pixels_are_missing(make_model: MakeModel) -> None:
    source = ArraySource((120, 120))
    source.lost = np.zeros((120, 120), bool)
    source.lost[5:17, 90:] = True
    classes, _ = run(source, open_session(make_model(), "cpu", 1))
    assert np.array_equal(classes == MaskClass.MISSING, source.lost)


def test_predict_value_of_missing_pixels_does_not_matter(make_model: MakeModel) -> None:
    """Resampling leaves missing pixels out, and the network sees reflectance 0 there."""
    first, second = ArraySource((120, 120)), ArraySource((120, 120))
    for source in (first, second):
        source.lost = np.zeros((120, 120), bool)
        source.lost[31:60, 25:77] = True
    for band in ("B02", "B11"):
        step = BANDS[band].resolution_m // 10
        second.dn[band][-(-31 // step) : 60 // step, -(-25 // step) : 77 // step] = 9999
    session = open_session(make_model(bands=["B02", "B11"]), "cpu", 1)
    assert np.array_equal(run(first, session)[1], run(second, session)[1])


def test_predict_saturated_pixel_is_valid(make_model: MakeModel) -> None:
    source = ArraySource((90, 90))
    source.dn["B02"][40:50, 40:50] = 65535
    classes, _ = run(source, open_session(make_model(), "cpu", 1))
    assert not (classes == MaskClass.MISSING).any()


def test_predict_decodes_every_row_once(make_model: MakeModel) -> None:
    source = ArraySource((700, 90), blocks=128)
    list(predict(source, open_session(make_model(), "cpu", 1), threads=2))
    for band in ("B02", "B11", "B10"):
        windows = [window for name, window in source.reads if name == band]
        assert [w.row0 for w in windows[1:]] == [w.row1 for w in windows[:-1]]
        assert windows[-1].row1 == source.dn[band].shape[0]


def test_predict_other_level_raises(make_model: MakeModel) -> None:
    session = open_session(make_model(level="L2A"), "cpu", 1)
    with pytest.raises(LevelMismatchError, match="made for L2A products, this one is L1C"):
        next(iter(predict(ArraySource((60, 60)), session)))


def test_predict_corrupt_band_raises_and_stops_its_threads(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    source = ArraySource((900, 90), blocks=32)
    read_dn = source.read_dn

    def fail_late(band: str, window: PixelWindow) -> NDArray[np.uint16]:
        if window.row0 > 400:
            raise CorruptDataError("B02 broke")
        return read_dn(band, window)

    monkeypatch.setattr(source, "read_dn", fail_late)
    session = open_session(make_model(), "cpu", 1)
    before = threading.active_count()
    with pytest.raises(CorruptDataError, match="B02 broke"):
        list(predict(source, session))
    assert threading.active_count() == before


def test_predict_abandoned_stops_its_threads(make_model: MakeModel) -> None:
    import threading

    before = threading.active_count()
    strips = predict(ArraySource((900, 300)), open_session(make_model(), "cpu", 1))
    next(iter(strips))
    strips.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_predict_network_that_gives_nan_raises(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_session(make_model(), "cpu", 1)
    monkeypatch.setattr(session, "_run", lambda feed: np.full((1, 3, 32, 32), np.nan, np.float32))
    with pytest.raises(ModelError, match="not finite"):
        list(predict(ArraySource((60, 60)), session))


def test_predict_progress_counts_all_tiles(make_model: MakeModel) -> None:
    seen: list[tuple[int, int]] = []
    session = open_session(make_model(), "cpu", 1)
    list(predict(ArraySource((300, 300)), session, progress=lambda *p: seen.append(p)))
    assert seen[-1][0] == seen[-1][1] == 25
    assert seen == sorted(seen)
