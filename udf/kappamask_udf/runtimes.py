"""ONNX Runtime's own sessions: how a network file is opened on a device, and what is said when that
fails.
"""

import io
import logging
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kappamask_udf.devices import (
    PROVIDERS,
    Device,
    GpuFacts,
    GpuProbe,
    ResolvedDevice,
    cpu_lanes,
    default_threads,
    engine_folder,
    provider_options,
)
from kappamask_udf.errors import DeviceError, MissingExtraError, ModelError
from kappamask_udf.models.registry import locate, verify_checksum
from kappamask_udf.models.spec import ModelSpec

if TYPE_CHECKING:
    import onnxruntime

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenRuntime:
    """A network that ONNX Runtime holds on a device."""

    runtime: "onnxruntime.InferenceSession"
    device: ResolvedDevice
    gpu: GpuFacts | None = None


@dataclass(frozen=True)
class RuntimeSetting:
    """What decides how a network is opened, besides the file and the device."""

    threads: int
    """Of all runs side by side, on a CPU."""
    engine_cache: Path | None
    """Where TensorRT's engines are kept; they are built anew each time if it is `None`."""


def available_devices() -> tuple[ResolvedDevice, ...]:
    """The devices that the installed ONNX Runtime was built for, fastest first."""
    built_for = _onnxruntime().get_available_providers()
    return tuple(device for device, provider in PROVIDERS.items() if provider in built_for)


def candidates_for(device: Device) -> tuple[ResolvedDevice, ...]:
    """The devices to try, in order.

    Raises:
        DeviceError: the installed ONNX Runtime was not built for the one that was asked for.
    """
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


def open_first(
    spec: ModelSpec,
    candidates: tuple[ResolvedDevice, ...],
    setting: RuntimeSetting,
    probe: GpuProbe,
) -> OpenRuntime:
    """The network on the first of the devices where it opens; why not is logged for the others.

    Raises:
        ModelError, ChecksumError: the model's file is missing, changed or no ONNX network.
        DeviceError: the last of the devices is not there.
    """
    path = locate(spec)
    verify_checksum(spec, path)
    for candidate in candidates[:-1]:
        try:
            return _open(spec, path, candidate, setting, probe)
        except DeviceError as error:
            logger.warning("device auto: %s", error)
    return _open(spec, path, candidates[-1], setting, probe)


def _open(
    spec: ModelSpec,
    path: Path,
    device: ResolvedDevice,
    setting: RuntimeSetting,
    probe: GpuProbe,
) -> OpenRuntime:
    gpu, engines = None, None
    if device != "cpu":
        try:
            gpu = probe()
        except OSError as error:
            raise _device_error(device, str(error)) from error
    if device == "tensorrt" and gpu is not None and setting.engine_cache is not None:
        engines = engine_folder(setting.engine_cache, spec.sha256, gpu)
        try:
            engines.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            logger.warning("engines are not kept: cannot write %s: %s", engines, error.strerror)
            engines = None
    options = provider_options(device, spec.precision, engines)
    runtime = _start(spec, path, device, setting.threads, options)
    check_signature(spec, runtime)
    return OpenRuntime(runtime, device, gpu)


def _start(
    spec: ModelSpec, path: Path, device: ResolvedDevice, threads: int, told: dict[str, Any]
) -> "onnxruntime.InferenceSession":
    ort, options = _onnxruntime(), _session_options(threads // cpu_lanes(threads))
    providers = [(PROVIDERS[device], told)]
    # The Python side of the runtime prints to standard output, where results go.
    with redirect_stdout(io.StringIO()) as printed:
        try:
            if device != "cpu":
                ort.preload_dlls()
            runtime = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            # ONNX Runtime's own exceptions share no base class but Exception.
            reason = first_line(error)
            if device != "cpu":
                raise _device_error(device, reason) from error
            raise ModelError(
                f"the file of model {spec.name!r} cannot be opened as an ONNX network: {path}: "
                f"{reason}"
            ) from error
    # ONNX Runtime falls back to the CPU in silence where a provider's libraries do not load.
    if runtime.get_providers()[0] != PROVIDERS[device]:
        raise _device_error(device, printed.getvalue().partition("\n")[0])
    return runtime


def _session_options(threads: int) -> "onnxruntime.SessionOptions":
    ort = _onnxruntime()
    # What matters of the runtime's own messages is in our errors; here they would come between.
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Waiting threads sleep: decoding and writing run beside the network on the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def run_once(network: bytes, feed: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first output of a network that is not kept, on the CPU, for one input.

    Raises:
        ModelError: the network cannot be opened or run.
    """
    try:
        runtime = _onnxruntime().InferenceSession(
            network, _session_options(default_threads()), providers=[PROVIDERS["cpu"]]
        )
        return np.asarray(runtime.run(None, {runtime.get_inputs()[0].name: feed})[0])
    except MissingExtraError:
        raise
    except Exception as error:
        # ONNX Runtime's own exceptions share no base class but Exception.
        raise ModelError(f"the network cannot be run: {first_line(error)}") from error


def _device_error(device: ResolvedDevice, reason: str) -> DeviceError:
    return DeviceError(
        f"device {device!r}: ONNX Runtime could not start {PROVIDERS[device]} "
        f"({reason or 'it gave no reason'}); check the driver and the CUDA libraries, or use "
        "--device cpu"
    )


def check_signature(spec: ModelSpec, runtime: Any) -> None:
    """Raise `ModelError` unless the file's input and output are those of the model's item."""
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


def first_line(error: Exception) -> str:
    """Of an exception's message; its name if it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
