"""ONNX Runtime sessions: which device, which provider, one runtime per process and device.

A device that was asked for and is not there is an error; `auto` says what it took.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.devices import (
    GPU_LANES,
    Device,
    GpuProbe,
    ResolvedDevice,
    cpu_lanes,
    default_threads,
    gpu_batch_size,
    probe_gpu,
)
from kappamask_udf.errors import ModelError
from kappamask_udf.lanes import BoundLane, CpuLane, Lane, Pin, pin_cuda
from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.runtimes import (
    OpenRuntime,
    RuntimeSetting,
    candidates_for,
    check_signature,
    first_line,
    open_first,
)

__all__ = ["Device", "ModelSession", "default_threads", "open_session", "softmax"]

Floats = NDArray[np.float32]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SessionKey:
    """What makes two runtimes the same."""

    sha256: str
    device: ResolvedDevice
    threads: int


class ModelSession:
    """A model on a device. Safe to use from several threads: `lanes` of them run at a time.

    Obtain one with `open_session`, which reuses runtimes.
    """

    def __init__(self, spec: ModelSpec, opened: OpenRuntime, lanes: int, pin: Pin = pin_cuda):
        self.spec = spec
        self.device = opened.device
        self.lanes = lanes
        """Runs that are worth having side by side."""
        self._opened, self._pin = opened, pin
        self._free: SimpleQueue[Lane | None] = SimpleQueue()
        for _ in range(lanes):
            self._free.put(None)

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the provider that runs the model."""
        return str(self._opened.runtime.get_providers()[0])

    def default_batch_size(self) -> int:
        """Tiles per run where the user gave no number: by kind and size of device and tile."""
        if self._opened.gpu is None:
            return 1
        return gpu_batch_size(self._opened.gpu, self.spec.tiling.tile_px)

    def predict(self, tiles: Sequence[Floats] | Floats, batch_size: int | None = None) -> Floats:
        """(n, channels, tile, tile) float32 probabilities of n tiles, (bands, tile, tile) float32
        each, scaled as the model wants them.

        The network sees `batch_size` tiles (n by default), zeros where there are fewer: it always
        gets one shape, so what it answers for a tile does not depend on how many came with it.

        Raises:
            ModelError: the network failed, or gave another shape or values that are not finite.
        """
        scores = self.score(tiles, batch_size)
        return softmax(scores) if self.spec.activation == "softmax" else scores

    def score(self, tiles: Sequence[Floats] | Floats, batch_size: int | None = None) -> Floats:
        """As `predict`, without softmax: the largest is the same, and it is found sooner."""
        with self._lane(batch_size or len(tiles)) as lane:
            lane.load(tiles, is_nhwc=self.spec.layout == "nhwc")
            outputs = self._run(lane)
        if self.spec.layout == "nhwc":
            outputs = np.moveaxis(outputs, -1, 1)
        expected = (len(lane.feed), *self._answer_shape)
        if outputs.shape != expected:
            raise ModelError(
                f"model {self.spec.name!r} gave an output of shape {outputs.shape}, its item "
                f"says {expected}"
            )
        answers = outputs[: len(tiles)]
        # The sum is finite unless a value is not, or values are far beyond any scores.
        with np.errstate(all="ignore"):
            is_finite = bool(np.isfinite(answers.sum()))
        if not is_finite:
            raise ModelError(f"model {self.spec.name!r} gave values that are not finite")
        return answers

    @property
    def _answer_shape(self) -> tuple[int, int, int]:
        tile_px = self.spec.tiling.tile_px
        return len(self.spec.classes), tile_px, tile_px

    @contextmanager
    def _lane(self, size: int) -> Iterator[Lane]:
        """A lane that nobody else uses meanwhile, with room for `size` tiles."""
        lane = self._free.get()
        try:
            if lane is None or len(lane.feed) != size:
                lane = self._open_lane(size)
            yield lane
        finally:
            self._free.put(lane)

    def _open_lane(self, size: int) -> Lane:
        is_nhwc = self.spec.layout == "nhwc"
        channels, *tile = self._answer_shape
        bands = len(self.spec.bands)
        shape = (size, *tile, bands) if is_nhwc else (size, bands, *tile)
        if self.device == "cpu":
            return CpuLane(self._opened.runtime, shape)
        answer = (size, *tile, channels) if is_nhwc else (size, channels, *tile)
        return BoundLane(self._opened.runtime, shape, answer, self._pin)

    def _run(self, lane: Lane) -> Floats:
        try:
            return lane.run()
        except Exception as error:
            # ONNX Runtime's own exceptions share no base class but Exception.
            raise ModelError(
                f"model {self.spec.name!r} failed on {self.device}: {first_line(error)}"
            ) from error


def softmax(logits: Floats) -> Floats:
    """Softmax over axis 1 of (n, channels, ...) float32."""
    exponentials: Floats = logits - logits.max(axis=1, keepdims=True)
    np.exp(exponentials, out=exponentials)
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


# By file and device, not by model: two descriptions may share one file.
_runtimes: dict[SessionKey, OpenRuntime] = {}
_sessions_lock = threading.Lock()


def open_session(
    spec: ModelSpec,
    device: Device = "auto",
    threads: int | None = None,
    *,
    engine_cache: Path | None = None,
    probe: GpuProbe = probe_gpu,
) -> ModelSession:
    """A model on a device; ONNX Runtime loads it once per process, then it is reused.

    Args:
        spec: the model.
        device: `auto` takes the GPU through CUDA where it works, else the CPU, and logs which.
        threads: for inference on a CPU; all processors by default.
        engine_cache: where TensorRT's engines are kept between processes, if anywhere.
        probe: looks at the GPU.

    Raises:
        ModelError, ChecksumError: the model's file is missing, changed or no ONNX network.
        DeviceError: the device that was asked for is not there.
        MissingExtraError: ONNX Runtime is not installed.
    """
    threads = threads or default_threads()
    opened = _open_or_reuse(spec, device, RuntimeSetting(threads, engine_cache), probe)
    lanes = cpu_lanes(threads) if opened.device == "cpu" else GPU_LANES
    session = ModelSession(spec, opened, lanes)
    if device == "auto":
        logger.info("device auto: took %s (%s)", session.device, session.provider)
    return session


def _open_or_reuse(
    spec: ModelSpec, device: Device, setting: RuntimeSetting, probe: GpuProbe
) -> OpenRuntime:
    candidates = candidates_for(device)
    with _sessions_lock:
        for candidate in candidates:
            opened = _runtimes.get(SessionKey(spec.sha256, candidate, setting.threads))
            if opened is not None:
                check_signature(spec, opened.runtime)
                return opened
        opened = open_first(spec, candidates, setting, probe)
        _runtimes[SessionKey(spec.sha256, opened.device, setting.threads)] = opened
    return opened
