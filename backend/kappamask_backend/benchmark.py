"""How fast a product is masked, and how close that is to what its parts cost alone.

Every stage runs in a process of its own, one after the other in one run, with the same product,
threads and windows, so that times compare and peak memory is the stage's own.
"""

import multiprocessing
import resource
import sys
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import rasterio

from kappamask_backend.memory import keep_memory_flat
from kappamask_backend.model_choice import choose_model, engine_folder
from kappamask_catalog.masking import MaskJob, MaskOptions, prepare_mask
from kappamask_catalog.results import MASK_FILE, PROBABILITIES_FILE, MaskWriter, write_mask
from kappamask_catalog.sources import open_product
from kappamask_udf.engine import choose_answer
from kappamask_udf.errors import KappamaskError
from kappamask_udf.grid import GridReader
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.plan import plan_window
from kappamask_udf.session import Device, default_threads

PART_SHARE = 4
"""The part whose memory is compared has the upper 1 / 4 of the product's rows."""
_WRITE_ROWS = 192


@dataclass(frozen=True)
class Setting:
    """What is measured."""

    product: str
    folder: str
    """Where results go; emptied by the caller."""
    model: str | None = None
    device: Device = "auto"
    threads: int | None = None
    batch_size: int | None = None
    with_probabilities: bool = False


@dataclass(frozen=True)
class Stage:
    """One measured stage."""

    name: str
    seconds: float
    """Wall time."""
    cpu_seconds: float
    """Processor time of all threads, preparation included; tells a busy machine from slow code."""
    peak_memory_bytes: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """All stages of one run and the ratios that matter."""

    setting: Setting
    stages: tuple[Stage, ...]

    def stage(self, name: str) -> Stage:
        """The stage called `name`."""
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def is_on_gpu(self) -> bool:
        """Whether inference had a device of its own."""
        return str(self.stage("inference").facts["device"]) != "cpu"

    @property
    def bound_seconds(self) -> float:
        """What the parts cost alone: their sum where they share the CPU, the larger of decoding
        and inference where the network runs on a GPU.
        """
        seconds = {stage.name: stage.seconds for stage in self.stages}
        if self.is_on_gpu:
            return max(seconds["decoding"], seconds["inference"])
        return seconds["decoding"] + seconds["inference"] + seconds["writing"]

    @property
    def time_ratio(self) -> float:
        """Wall time over `bound_seconds`; 1 is the limit of running one after the other."""
        return self.stage("product").seconds / self.bound_seconds

    @property
    def memory_ratio(self) -> float:
        """Peak memory of the whole product over that of the part."""
        whole, part = self.stage("product"), self.stage("part of it")
        return whole.peak_memory_bytes / part.peak_memory_bytes

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "setting": asdict(self.setting),
            "stages": [asdict(stage) for stage in self.stages],
            "bound_seconds": self.bound_seconds,
            "time_ratio": self.time_ratio,
            "memory_ratio": self.memory_ratio,
        }


def run_benchmark(setting: Setting, announce: Callable[[str], None]) -> Report:
    """Measure all stages, one process after the other.

    Raises:
        KappamaskError: a stage failed.
    """
    stages = []
    for name in _STAGES:
        announce(name)
        stages.append(_run_apart(name, setting))
    return Report(setting, tuple(stages))


def _run_apart(name: str, setting: Setting) -> Stage:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(name, setting, sender), name=name)
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        raise KappamaskError(
            f"the benchmark stage {name!r} ended with exit code {process.exitcode}"
        ) from None
    process.join()
    if isinstance(answer, str):
        raise KappamaskError(f"the benchmark stage {name!r} failed: {answer}")
    stage: Stage = answer
    return stage


def _measure(name: str, setting: Setting, sender: Any) -> None:
    keep_memory_flat()
    try:
        cpu_start = process_time()
        seconds, facts = _STAGES[name](setting)
        cpu_seconds = process_time() - cpu_start
        sender.send(Stage(name, seconds, cpu_seconds, _peak_memory_bytes(), facts))
    except KappamaskError as error:
        sender.send(str(error))


def _peak_memory_bytes() -> int:
    """Peak resident memory of this process."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: on Linux its figure is inherited from the parent through fork and exec.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _prepare(setting: Setting, product: Any) -> MaskJob:
    spec = choose_model(setting.model, product.level).spec
    options = MaskOptions(
        device=setting.device,
        with_probabilities=setting.with_probabilities,
        batch_size=setting.batch_size,
        threads=setting.threads,
        engine_cache=engine_folder(),
    )
    return prepare_mask(product, spec, options)


def _decoding(setting: Setting) -> tuple[float, dict[str, Any]]:
    """Reading every band that the model needs, and nothing else."""
    start = perf_counter()
    with open_product(setting.product) as product:
        spec = choose_model(setting.model, product.level).spec
        cells = plan_window(spec, product.shape_yx, None).input_cells
        threads = setting.threads or default_threads()
        read_bytes = sum(GridReader(product, spec, cells, threads).decode())
        shape = product.shape_yx
    facts = {"bands": list(spec.bands), "threads": threads, "decoded_bytes": read_bytes}
    return perf_counter() - start, {**facts, "shape_yx": list(shape)}


def _inference(setting: Setting) -> tuple[float, dict[str, Any]]:
    """The bare network on as many batches as the product has, as many at a time as the engine runs,
    the same input again and again.
    """
    with open_product(setting.product) as product:
        job = _prepare(setting, product)
        n_tiles = plan_window(job.session.spec, product.shape_yx, None).n_tiles
    spec, session = job.session.spec, job.session
    size = setting.batch_size or session.default_batch_size()
    tile = (spec.tiling.tile_px, spec.tiling.tile_px)
    shape = (size, len(spec.bands), *tile)
    batch = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    n_batches = -(-n_tiles // size)
    answer = choose_answer(session, setting.with_probabilities)
    with ThreadPoolExecutor(session.lanes) as pool:
        list(pool.map(lambda _: answer(batch), range(session.lanes)))
        start = perf_counter()
        deque(pool.map(lambda _: len(answer(batch)), range(n_batches)), maxlen=0)
        seconds = perf_counter() - start
    facts = {"model": spec.name, "device": session.device, "tiles": n_tiles, "batch_size": size}
    return seconds, facts


def _product(setting: Setting) -> tuple[float, dict[str, Any]]:
    """The whole of it: open, read, infer, stitch, write."""
    start = perf_counter()
    with open_product(setting.product) as product:
        job = _prepare(setting, product)
        result = write_mask(job, Path(setting.folder) / "product")
    return perf_counter() - start, {"cloud_cover": result.cloud_cover}


def _writing(setting: Setting) -> tuple[float, dict[str, Any]]:
    """Writing the finished rasters again, from memory strip by strip."""
    folder = Path(setting.folder) / "product"
    with open_product(setting.product) as product:
        job = _prepare(setting, product)
    seconds = 0.0
    target = Path(setting.folder) / "writing"
    target.mkdir()
    with rasterio.open(folder / MASK_FILE) as mask, MaskWriter(job, target) as writer:
        planes = rasterio.open(folder / PROBABILITIES_FILE) if setting.with_probabilities else None
        for row0 in range(0, mask.height, _WRITE_ROWS):
            rows = ((row0, min(row0 + _WRITE_ROWS, mask.height)), (0, mask.width))
            classes = mask.read(1, window=rows)
            probabilities = None if planes is None else planes.read(window=rows)
            start = perf_counter()
            writer.write(row0, classes, probabilities)
            seconds += perf_counter() - start
        start = perf_counter()
        writer.finish()
        seconds += perf_counter() - start
    return seconds, {path.name: path.stat().st_size for path in sorted(target.iterdir())}


def _part(setting: Setting) -> tuple[float, dict[str, Any]]:
    """The upper quarter of the product, for its memory."""
    start = perf_counter()
    with open_product(setting.product) as product:
        job = _prepare(setting, product)
        rows, cols = product.shape_yx
        window = PixelWindow(0, max(rows // PART_SHARE, 1), 0, cols)
        part = MaskJob(product, job.session, job.options, None, window)
        write_mask(part, Path(setting.folder) / "part")
    return perf_counter() - start, {"shape_yx": list(window.shape_yx)}


_STAGES: dict[str, Callable[[Setting], tuple[float, dict[str, Any]]]] = {
    "decoding": _decoding,
    "inference": _inference,
    "product": _product,
    "writing": _writing,
    "part of it": _part,
}
