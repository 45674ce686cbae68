"""How fast a network runs, beside other ways to run it and what the machine can do at all.

All contenders are open at the same time and take turns, round after round, so that whatever else
slows the machine down slows all of them down. Ratios are taken within a round.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import IO, Any

from kappamask_backend import contenders
from kappamask_udf.errors import KappamaskError, MissingExtraError

OURS = "network"
PEAK_FP32, PEAK_INT8 = "matrix product, float32", "matrix product, int8"


@dataclass(frozen=True)
class Original:
    """Where km_predict can be run: an optional peer."""

    python: str
    """Of an environment with TensorFlow and what km_predict needs."""
    checkout: Path
    """Its sources."""
    weights: Path
    """Keras weights."""


@dataclass(frozen=True)
class NetworkSetting:
    """What is measured."""

    model: str
    threads: int
    rounds: int = 5
    tiles: int = 4
    """Per contender and round."""
    others: tuple[str, ...] = ()
    """Other registered models, such as variants."""
    weights: Path | None = None
    """Keras weights, to run the network layer by layer too."""
    original: Original | None = None


@dataclass(frozen=True)
class Contender:
    """A process that can be asked to run tiles."""

    name: str
    command: tuple[str, ...]
    gflop: float | None = None
    """Per tile, or per matrix product."""


@dataclass(frozen=True)
class Row:
    """What one contender took."""

    name: str
    seconds: float
    """Per tile, median of the rounds."""
    cpu_seconds: float
    """Processor time of all threads per tile, median."""
    ratio: float
    """Seconds over those of the network as the engine runs it, median within rounds."""
    gflops: float | None
    """Billions of operations per second, counted as the original network does them."""
    peak_memory_bytes: int


@dataclass(frozen=True)
class NetworkReport:
    """All rows of one run."""

    setting: NetworkSetting
    rows: tuple[Row, ...]

    def row(self, name: str) -> Row | None:
        """The row called `name`, if there is one."""
        return next((row for row in self.rows if row.name == name), None)

    @property
    def fraction_of_peak(self) -> float | None:
        """Operations per second of the network over those of a float32 matrix product."""
        ours, peak = self.row(OURS), self.row(PEAK_FP32)
        if ours is None or peak is None or ours.gflops is None or peak.gflops is None:
            return None
        return ours.gflops / peak.gflops

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "fraction_of_peak": self.fraction_of_peak,
            "threads": self.setting.threads,
            "rounds": self.setting.rounds,
        }


def run_network_benchmark(
    setting: NetworkSetting, tile_gflop: float | None, progress: Callable[[int, int], None]
) -> NetworkReport:
    """Measure all contenders.

    Args:
        setting: what to measure.
        tile_gflop: billions of operations per tile of the network, if known.
        progress: called with turns done and turns in all.

    Raises:
        KappamaskError: a contender failed.
        MissingExtraError: onnx is not installed.
    """
    entrants = list(_entrants(setting, tile_gflop))
    times: dict[str, list[_Answer]] = {one.name: [] for one in entrants}
    with ExitStack() as stack:
        running = []
        for count, one in enumerate(entrants):
            progress(count, len(entrants) * (setting.rounds + 1))
            running.append(stack.enter_context(_started(one)))
        for turn in range(setting.rounds * len(entrants)):
            one = entrants[turn % len(entrants)]
            times[one.name].append(running[turn % len(entrants)](setting.tiles))
            progress(len(entrants) + turn + 1, len(entrants) * (setting.rounds + 1))
    ours = [answer.seconds for answer in times[OURS]]
    return NetworkReport(setting, tuple(_row(one, times[one.name], ours) for one in entrants))


def _entrants(setting: NetworkSetting, tile_gflop: float | None) -> Iterator[Contender]:
    def here(name: str, kind: str, gflop: float | None, **extra: object) -> Contender:
        told = json.dumps({"threads": setting.threads, **extra})
        module = "kappamask_backend.contenders.ours"
        return Contender(name, (sys.executable, "-m", module, kind, told), gflop)

    try:
        from kappamask_backend.contenders.ours import PRODUCT_GFLOP
    except ImportError as error:
        raise MissingExtraError(
            "this benchmark needs onnx; install 'openeo-kappamask[cpu,import]'"
        ) from error
    yield here(PEAK_FP32, "product fp32", PRODUCT_GFLOP)
    yield here(PEAK_INT8, "product int8", PRODUCT_GFLOP)
    yield here(OURS, "network", tile_gflop, model=setting.model)
    yield here("network, one tile at a time", "one lane", tile_gflop, model=setting.model)
    for name in setting.others:
        yield here(name, "network", tile_gflop, model=name)
    if setting.weights is not None:
        yield here("layer by layer", "literal", tile_gflop, weights=str(setting.weights))
    if setting.original is not None:
        yield here("tiles to classes", "engine", tile_gflop, model=setting.model)
        yield _there("Keras, network", "graph", setting.original, setting.threads, tile_gflop)
        yield _there("km_predict's loop", "loop", setting.original, setting.threads, tile_gflop)


def _there(
    name: str, kind: str, original: Original, threads: int, gflop: float | None
) -> Contender:
    told = json.dumps(
        {
            "weights": str(original.weights.resolve()),
            "checkout": str(original.checkout.resolve()),
            "threads": threads,
        }
    )
    script = Path(contenders.__file__).parent / "keras_original.py"
    return Contender(name, (original.python, str(script), kind, told), gflop)


@dataclass(frozen=True)
class _Answer:
    """One turn, per tile."""

    seconds: float
    cpu_seconds: float
    memory: int


@contextmanager
def _started(contender: Contender) -> Iterator[Callable[[int], _Answer]]:
    """The contender's process, warm; call with a number of tiles."""
    with TemporaryFile("w+") as said:
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(  # noqa: S603
                contender.command, stdin=pipe, stdout=pipe, stderr=said, text=True
            )
        except OSError as error:
            raise KappamaskError(
                f"cannot start the contender {contender.name!r}: {contender.command[0]}: "
                f"{error.strerror}"
            ) from error
        try:
            _read(process, contender.name, said)
            yield lambda n: _ask(process, contender.name, said, n)
        finally:
            process.kill()
            process.communicate()


def _ask(process: "subprocess.Popen[str]", name: str, said: IO[str], n: int) -> _Answer:
    if process.stdin is not None:
        process.stdin.write(f"{n}\n")
        process.stdin.flush()
    answer = _read(process, name, said)
    return _Answer(answer["seconds"] / n, answer["cpu_seconds"] / n, answer["memory"])


def _read(process: "subprocess.Popen[str]", name: str, said: IO[str]) -> dict[str, Any]:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        process.wait()
        said.seek(0)
        lines = said.read().strip().splitlines()
        raise KappamaskError(
            f"the contender {name!r} ended with exit code {process.returncode}: "
            f"{lines[-1] if lines else 'it said nothing'}"
        )
    answer: dict[str, Any] = json.loads(line)
    return answer


def _row(contender: Contender, answers: Sequence[_Answer], ours: Sequence[float]) -> Row:
    seconds = median(answer.seconds for answer in answers)
    return Row(
        name=contender.name,
        seconds=seconds,
        cpu_seconds=median(answer.cpu_seconds for answer in answers),
        ratio=median(answer.seconds / own for answer, own in zip(answers, ours, strict=True)),
        gflops=None if contender.gflop is None else contender.gflop / seconds,
        peak_memory_bytes=max(answer.memory for answer in answers),
    )
