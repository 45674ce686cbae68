"""Sessions, lanes and what ONNX Runtime is told about GPUs, on a machine without one."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kappamask_udf.devices import (
    MAX_GPU_BATCH_PX,
    GpuFacts,
    engine_folder,
    gpu_batch_size,
    provider_options,
)
from kappamask_udf.errors import DeviceError, ModelError
from kappamask_udf.lanes import BoundLane, CpuLane
from kappamask_udf.models import ModelSpec
from kappamask_udf.runtimes import OpenRuntime
from kappamask_udf.session import ModelSession, open_session, softmax

H100 = GpuFacts("NVIDIA H100 80GB HBM3", 80 * 2**30, "10.13.3")
Floats = NDArray[np.float32]


@pytest.fixture
def tiles() -> Floats:
    return np.random.default_rng(0).normal(size=(3, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def opened(make_model: Callable[..., ModelSpec]) -> OpenRuntime:
    """A small network on the CPU."""
    return open_session(make_model(), "cpu", 1)._opened


def on_gpu(spec: ModelSpec, opened: OpenRuntime, pin: Any) -> ModelSession:
    """A session that takes the way of a GPU, with the CPU in its place."""
    return ModelSession(spec, replace(opened, device="cuda", gpu=H100), lanes=2, pin=pin)


def test_bound_lane_gives_what_cpu_lane_gives(opened: OpenRuntime, tiles: Floats) -> None:
    plain = CpuLane(opened.runtime, tiles.shape)
    bound = BoundLane(opened.runtime, tiles.shape, tiles.shape, lambda values: lambda: None)
    plain.feed[...] = bound.feed[...] = tiles
    np.testing.assert_array_equal(bound.run(), plain.run())


def test_bound_lane_pins_input_and_output_and_undoes_it(opened: OpenRuntime) -> None:
    pinned: list[tuple[int, ...]] = []
    undone: list[int] = []

    def pin(values: Floats) -> Callable[[], None]:
        pinned.append(values.shape)
        return lambda: undone.append(1)

    lane = BoundLane(opened.runtime, (2, 3, 32, 32), (2, 3, 32, 32), pin)
    assert pinned == [(2, 3, 32, 32), (2, 3, 32, 32)]
    assert not undone
    del lane
    assert len(undone) == 2


@pytest.mark.parametrize("nhwc", [False, True])
def test_session_on_gpu_way_equals_cpu_way(
    make_model: Callable[..., ModelSpec], tiles: Floats, nhwc: bool
) -> None:
    spec = make_model(nhwc=nhwc)
    cpu = open_session(spec, "cpu", 1)
    gpu = on_gpu(spec, cpu._opened, lambda values: lambda: None)
    np.testing.assert_array_equal(gpu.predict(tiles, 4), cpu.predict(tiles, 4))


def test_predict_short_batch_equals_full_one(
    make_model: Callable[..., ModelSpec], tiles: Floats
) -> None:
    session = open_session(make_model(), "cpu", 1)
    full = session.predict(tiles, 3)
    np.testing.assert_array_equal(session.predict(tiles[:1], 3), full[:1])
    # What an earlier, fuller batch left in the buffer has no influence.
    np.testing.assert_array_equal(session.predict([tiles[2]], 3), full[2:])


def test_score_has_the_classes_of_predict(
    make_model: Callable[..., ModelSpec], tiles: Floats
) -> None:
    session = open_session(replace(make_model(), activation="softmax"), "cpu", 1)
    scores, probabilities = session.score(tiles), session.predict(tiles)
    np.testing.assert_array_equal(scores.argmax(axis=1), probabilities.argmax(axis=1))
    np.testing.assert_allclose(softmax(scores.copy()), probabilities, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_session_from_many_threads_gives_each_its_own(
    make_model: Callable[..., ModelSpec], tiles: Floats
) -> None:
    session = open_session(make_model(), "cpu", 2)
    want = [session.predict(tiles[number : number + 1]) for number in range(3)]
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(session.predict(tiles[number : number + 1]), want[number]):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_session_values_that_are_not_finite_raise(
    make_model: Callable[..., ModelSpec], tiles: Floats
) -> None:
    tiles[0, 0, 0, 0] = np.nan
    with pytest.raises(ModelError, match="gave values that are not finite"):
        open_session(make_model(), "cpu", 1).predict(tiles)


@pytest.mark.parametrize(
    ("memory_gib", "tile_px", "want"), [(80, 512, 16), (8, 512, 6), (2, 512, 1), (80, 256, 64)]
)
def test_gpu_batch_size_follows_size_of_device(memory_gib: int, tile_px: int, want: int) -> None:
    facts = replace(H100, memory_bytes=memory_gib * 2**30)
    assert gpu_batch_size(facts, tile_px) == want
    assert want * tile_px**2 <= MAX_GPU_BATCH_PX


def test_engine_folder_differs_by_network_gpu_and_version(tmp_path: Path) -> None:
    folders = {
        engine_folder(tmp_path, sha256, facts)
        for sha256 in ("a" * 64, "b" * 64)
        for facts in (H100, replace(H100, name="Tesla T4"), replace(H100, tensorrt_version="10.9"))
    }
    assert len(folders) == 6
    name = engine_folder(tmp_path, "a" * 64, H100).name
    assert name == "aaaaaaaaaaaaaaaa_nvidia-h100-80gb-hbm3_trt-10.13.3"


def test_provider_options_keep_float32_exact_on_cuda() -> None:
    assert provider_options("cuda", "fp32", None)["use_tf32"] == "0"
    assert provider_options("cpu", "fp32", None) == {}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_provider_options_of_tensorrt_follow_precision(tmp_path: Path, precision: Any) -> None:
    options = provider_options("tensorrt", precision, tmp_path)
    assert options["trt_fp16_enable"] == str(precision == "fp16")
    assert options["trt_int8_enable"] == str(precision == "int8")
    assert options["trt_engine_cache_path"] == str(tmp_path)
    assert "trt_engine_cache_enable" not in provider_options("tensorrt", precision, None)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a runtime built for all providers was asked to open; the CPU opens it in their place."""
    import onnxruntime

    asked: list[Any] = []
    start = onnxruntime.InferenceSession
    names = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]

    class Opened:
        def __init__(self, path: str, options: Any, providers: list[Any]):
            asked.append(providers[0])
            self._real = start(path, options, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return [asked[-1][0]]

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Opened)
    return asked


def test_open_session_tensorrt_keeps_engines_by_network_and_gpu(
    make_model: Callable[..., ModelSpec], told: list[Any], tmp_path: Path
) -> None:
    spec = make_model()
    session = open_session(spec, "tensorrt", 1, engine_cache=tmp_path, probe=lambda: H100)
    provider, options = told[0]
    assert provider == "TensorrtExecutionProvider"
    assert Path(options["trt_engine_cache_path"]) == engine_folder(tmp_path, spec.sha256, H100)
    assert Path(options["trt_engine_cache_path"]).is_dir()
    assert session.default_batch_size() == MAX_GPU_BATCH_PX // 32**2
    assert session.lanes == 2


def test_open_session_without_a_place_for_engines_keeps_none(
    make_model: Callable[..., ModelSpec],
    told: list[Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = tmp_path / "taken"
    place.write_text("a file")
    open_session(make_model(), "tensorrt", 1, engine_cache=place, probe=lambda: H100)
    assert "trt_engine_cache_enable" not in told[0][1]
    assert "engines are not kept" in caplog.text


def test_open_session_auto_takes_cuda_before_cpu_and_never_tensorrt(
    make_model: Callable[..., ModelSpec], told: list[Any]
) -> None:
    assert open_session(make_model(), "auto", 1, probe=lambda: H100).device == "cuda"
    assert [provider for provider, _ in told] == ["CUDAExecutionProvider"]


@pytest.mark.usefixtures("told")
def test_open_session_without_driver_says_so(make_model: Callable[..., ModelSpec]) -> None:
    def probe() -> GpuFacts:
        raise OSError("libcuda.so.1: cannot open shared object file")

    with pytest.raises(DeviceError, match=r"CUDAExecutionProvider .libcuda"):
        open_session(make_model(), "cuda", 1, probe=probe)
