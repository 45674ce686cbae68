"""ONNX Runtime sessions: which device, which provider, one session per process and device.

A device that was asked for and is not there is an error; `auto` says what it took.
"""

import io
import logging
import os
import threading
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.errors import DeviceError, MissingExtraError, ModelError
from kappamask_udf.models.registry import locate, verify_checksum
from kappamask_udf.models.spec import ModelSpec

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
ResolvedDevice = Literal["cpu", "cuda", "tensorrt"]

PROVIDERS: dict[ResolvedDevice, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
GPU_BATCH_PX = 4 * 1024 * 1024
"""Model pixels per batch on a GPU: 16 tiles of 512 x 512. A constant, not a share of the free
memory, so that results do not depend on what else runs there."""


@dataclass(frozen=True)
class SessionKey:
    """What makes two runtimes the same."""

    sha256: str
    device: ResolvedDevice
    threads: int


class ModelSession:
    """A model on a device. Safe to use from several threads.

    Obtain one with `open_session`, which reuses them.
    """

    def __init__(
        self, spec: ModelSpec, runtime: "onnxruntime.InferenceSession", device: ResolvedDevice
    ):
        self.spec = spec
        self.device = device
        self._runtime = runtime
        self._input = runtime.get_inputs()[0].name
        self._output = runtime.get_outputs()[0].name

    @property
    def provider(self) -> str:
        """ONNX Runtime's name of the provider that runs the model."""
        return str(self._runtime.get_providers()[0])

    def default_batch_size(self) -> int:
        """Tiles per run where the user gave no number: by kind of device and tile size only."""
        if self.device == "cpu":
            return 1
        return max(1, GPU_BATCH_PX // self.spec.tiling.tile_px**2)

    def predict(self, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, channels, tile, tile) float32 probabilities of (n, bands, tile, tile) float32 tiles.

        Tiles are scaled as the model wants them, band axis first whatever the network's layout.

        Raises:
            ModelError: the network failed, or gave another shape or values that are not finite.
        """
        is_nhwc = self.spec.layout == "nhwc"
        feed = np.ascontiguousarray(np.moveaxis(tiles, 1, -1) if is_nhwc else tiles)
        outputs = self._run(feed)
        if is_nhwc:
            outputs = np.moveaxis(outputs, -1, 1)
        expected = (len(tiles), len(self.spec.classes), *tiles.shape[2:])
        if outputs.shape != expected:
            raise ModelError(
                f"model {self.spec.name!r} gave an output of shape {outputs.shape}, its item "
                f"says {expected}"
            )
        probabilities = softmax(outputs) if self.spec.activation == "softmax" else outputs
        if not np.isfinite(probabilities.sum()):
            raise ModelError(f"model {self.spec.name!r} gave values that are not finite")
        return probabilities

    def _run(self, feed: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            if self.device == "cpu":
                return np.asarray(self._runtime.run([self._output], {self._input: feed})[0])
            return self._run_bound(feed)
        except Exception as error:
            # ONNX Runtime's own exceptions share no base class but Exception.
            raise ModelError(
                f"model {self.spec.name!r} failed on {self.device}: {_first_line(error)}"
            ) from error

    def _run_bound(self, feed: NDArray[np.float32]) -> NDArray[np.float32]:
        """One run with inputs and outputs bound, so that each is copied once."""
        binding = self._runtime.io_binding()
        binding.bind_cpu_input(self._input, feed)
        binding.bind_output(self._output, "cpu")
        self._runtime.run_with_iobinding(binding)
        return np.asarray(binding.copy_outputs_to_cpu()[0])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over axis 1 of (n, channels, ...) float32."""
    exponentials: NDArray[np.float32] = np.exp(logits - logits.max(axis=1, keepdims=True))
    exponentials /= exponentials.sum(axis=1, keepdims=True)
    return exponentials


def available_devices() -> tuple[ResolvedDevice, ...]:
    """The devices that the installed ONNX Runtime was built for, fastest first."""
    built_for = _onnxruntime().get_available_providers()
    return tuple(device for device, provider in PROVIDERS.items() if provider in built_for)


def default_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# By file and device, not by model: two descriptions may share one file.
_runtimes: dict[SessionKey, "onnxruntime.InferenceSession"] = {}
_sessions_lock = threading.Lock()


def open_session(
    spec: ModelSpec, device: Device = "auto", threads: int | None = None
) -> ModelSession:
    """A model on a device; ONNX Runtime loads it once per process, then it is reused.

    Args:
        spec: the model.
        device: `auto` takes the GPU through CUDA where it works, else the CPU, and logs which.
        threads: for one inference on a CPU; all processors by default.

    Raises:
        ModelError, ChecksumError: the model's file is missing, changed or no ONNX network.
        DeviceError: the device that was asked for is not there.
        MissingExtraError: ONNX Runtime is not installed.
    """
    threads = threads or default_threads()
    candidates = _candidates(device)
    with _sessions_lock:
        for candidate in candidates:
            runtime = _runtimes.get(SessionKey(spec.sha256, candidate, threads))
            if runtime is not None:
                _check_signature(spec, runtime)
                return ModelSession(spec, runtime, candidate)
        runtime, taken = _open_first(spec, candidates, threads)
        _runtimes[SessionKey(spec.sha256, taken, threads)] = runtime
    session = ModelSession(spec, runtime, taken)
    if device == "auto":
        logger.info("device auto: took %s (%s)", session.device, session.provider)
    return session


def _candidates(device: Device) -> tuple[ResolvedDevice, ...]:
    available = available_devices()
    if device == "auto":
        # TensorRT builds engines for minutes at first use: never without being asked for.
        return tuple(one for one in available if one != "tensorrt")
    if device not in available:
        raise DeviceError(
            f"device {device!r} was asked for, but the installed ONNX Runtime offers "
            f"{', '.join(available)}; install 'openeo-kappamask[gpu]' (in place of [cpu]) on a "
            "machine with an NVIDIA GPU, or use --device cpu"
        )
    return (device,)


def _open_first(
    spec: ModelSpec, candidates: tuple[ResolvedDevice, ...], threads: int
) -> "tuple[onnxruntime.InferenceSession, ResolvedDevice]":
    path = locate(spec)
    verify_checksum(spec, path)
    for candidate in candidates[:-1]:
        try:
            return _open(spec, path, candidate, threads), candidate
        except DeviceError as error:
            logger.warning("device auto: %s", error)
    return _open(spec, path, candidates[-1], threads), candidates[-1]


def _open(
    spec: ModelSpec, path: Path, device: ResolvedDevice, threads: int
) -> "onnxruntime.InferenceSession":
    ort = _onnxruntime()
    # What matters of the runtime's own messages is in our errors; here they would come between.
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Waiting threads sleep: decoding and writing run beside the network on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The Python side of the runtime prints to standard output, where results go.
    with redirect_stdout(io.StringIO()) as printed:
        try:
            if device != "cpu":
                ort.preload_dlls()
            runtime = ort.InferenceSession(str(path), options, providers=[PROVIDERS[device]])
        except Exception as error:
            # ONNX Runtime's own exceptions share no base class but Exception.
            reason = _first_line(error)
            if device != "cpu":
                raise _device_error(device, reason) from error
            raise ModelError(
                f"the file of model {spec.name!r} cannot be opened as an ONNX network: {path}: "
                f"{reason}"
            ) from error
    # ONNX Runtime falls back to the CPU in silence where a provider's libraries do not load.
    if runtime.get_providers()[0] != PROVIDERS[device]:
        raise _device_error(device, printed.getvalue().partition("\n")[0])
    _check_signature(spec, runtime)
    return runtime


def _device_error(device: ResolvedDevice, reason: str) -> DeviceError:
    return DeviceError(
        f"device {device!r}: ONNX Runtime could not start {PROVIDERS[device]} "
        f"({reason or 'it gave no reason'}); check the driver and the CUDA libraries, or use "
        "--device cpu"
    )


def _check_signature(spec: ModelSpec, runtime: Any) -> None:
    inputs, outputs = runtime.get_inputs(), runtime.get_outputs()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"model {spec.name!r} must have one input and one output, its file has "
            f"{len(inputs)} and {len(outputs)}"
        )
    n_bands, tile_px = len(spec.bands), spec.tiling.tile_px
    tile = [n_bands, tile_px, tile_px] if spec.layout == "nchw" else [tile_px, tile_px, n_bands]
    shape = inputs[0].shape[1:]
    fixed = [(size, want) for size, want in zip(shape, tile, strict=False) if isinstance(size, int)]
    if len(shape) != len(tile) or any(size != want for size, want in fixed):
        raise ModelError(
            f"model {spec.name!r} takes tiles of {tile} by its item, its file has {list(shape)}"
        )


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError(
            "ONNX Runtime is not installed; install 'openeo-kappamask[cpu]', or "
            "'openeo-kappamask[gpu]' for an NVIDIA GPU"
        ) from error
    return onnxruntime


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
