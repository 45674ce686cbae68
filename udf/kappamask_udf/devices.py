"""Devices that run networks: what is there, and what ONNX Runtime is told for each.

Facts about a GPU come through the `GpuProbe` protocol, so that everything here can be tested on
a machine without one.
"""

import ctypes
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
ResolvedDevice = Literal["cpu", "cuda", "tensorrt"]
Precision = Literal["fp32", "fp16", "int8"]

PROVIDERS: dict[ResolvedDevice, str] = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
CPU_LANES = 2
"""Runs side by side on a CPU, which share its threads: while one waits at the end of a layer the
other computes. Measured: 4 to 10 % faster than one run with all threads."""
GPU_LANES = 2
"""One computes while the other's tiles are copied."""
GPU_BYTES_PER_PX = 1200
"""Memory that a run takes per model pixel, network activations of float32 included; an upper
bound by the DeepLabv3+ of KappaMask (about 250 MB per tile of 512 x 512)."""
GPU_MEMORY_SHARE = 0.5
MAX_GPU_BATCH_PX = 16 * 512 * 512
"""More tiles per run than 16 of 512 x 512 fill no GPU better and make progress coarse."""


@dataclass(frozen=True)
class GpuFacts:
    """What the choice of batches and the name of cached engines depend on."""

    name: str
    memory_bytes: int
    """In all, not what is free: results must not depend on what else runs there."""
    tensorrt_version: str
    """Of the installed library; `none` if there is none."""


class GpuProbe(Protocol):
    """Looks at the GPU that this process will use."""

    def __call__(self) -> GpuFacts:
        """Facts about the GPU. Raises `OSError` if they cannot be had."""
        ...


def probe_gpu() -> GpuFacts:
    """Ask the CUDA driver about its first device, which is the first visible one.

    Raises:
        OSError: there is no driver or no device.
    """
    driver = ctypes.CDLL("libcuda.so.1")
    device = ctypes.c_int()
    memory = ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    for code in (
        driver.cuInit(0),
        driver.cuDeviceGet(ctypes.byref(device), 0),
        driver.cuDeviceGetName(name, len(name), device),
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device),
    ):
        if code:
            raise OSError(f"the CUDA driver answers with error {code}")
    return GpuFacts(name.value.decode("ascii", "replace"), memory.value, _tensorrt_version())


def _tensorrt_version() -> str:
    for library in ("libnvinfer.so.10", "libnvinfer.so.11", "libnvinfer.so"):
        try:
            version = int(ctypes.CDLL(library).getInferLibVersion())
        except (OSError, AttributeError):
            continue
        # Source: NvInferVersion.h, major * 10000 + minor * 100 + patch since version 10.
        return f"{version // 10000}.{version // 100 % 100}.{version % 100}"
    return "none"


def gpu_batch_size(facts: GpuFacts, tile_px: int) -> int:
    """Tiles per run on a GPU: by its size and the tile's only."""
    by_memory = facts.memory_bytes * GPU_MEMORY_SHARE / GPU_LANES / GPU_BYTES_PER_PX
    return max(1, int(min(by_memory, MAX_GPU_BATCH_PX)) // tile_px**2)


def cpu_lanes(threads: int) -> int:
    """Runs side by side for so many threads."""
    return min(CPU_LANES, threads)


def engine_folder(cache: Path, sha256: str, facts: GpuFacts) -> Path:
    """Where TensorRT keeps the engines of a network: by file, GPU and TensorRT version, since an
    engine is good for no other.
    """
    gpu = re.sub(r"[^a-z0-9]+", "-", facts.name.lower()).strip("-")
    return cache / f"{sha256[:16]}_{gpu}_trt-{facts.tensorrt_version}"


def provider_options(
    device: ResolvedDevice, precision: Precision, engines: Path | None
) -> dict[str, Any]:
    """What ONNX Runtime's provider of a device is told.

    Args:
        device: which.
        precision: of the network's arithmetic.
        engines: folder for TensorRT's engines; none are kept if it is `None`.
    """
    if device == "cuda":
        return {
            # TensorFloat-32 has 10 bits of mantissa: classes would change where nothing is a tie.
            "use_tf32": "0",
            # Trying all algorithms takes the one that won a race: other numbers each time.
            "cudnn_conv_algo_search": "HEURISTIC",
        }
    if device == "tensorrt":
        options = {
            "trt_fp16_enable": str(precision == "fp16"),
            "trt_int8_enable": str(precision == "int8"),
        }
        if engines is not None:
            options |= {
                "trt_engine_cache_enable": "True",
                "trt_engine_cache_path": str(engines),
                "trt_timing_cache_enable": "True",
                "trt_timing_cache_path": str(engines),
            }
        return options
    return {}


def default_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
