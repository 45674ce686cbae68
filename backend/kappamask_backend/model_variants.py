"""Variants of a model: made, compared with the model on products it was not calibrated on, and
registered beside it with what was found.
"""

import copy
import platform
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kappamask_backend.model_agreement import MaskAgreement, compare_sessions
from kappamask_backend.model_choice import check_user_name, user_model_folder
from kappamask_catalog.sources import open_product
from kappamask_catalog.sources.product import Product
from kappamask_udf.cutting import Tile
from kappamask_udf.engine import check_level, read_tiles
from kappamask_udf.errors import ModelError
from kappamask_udf.models import ModelSpec, locate
from kappamask_udf.models.store import register_model
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow
from kappamask_udf.plan import plan_window
from kappamask_udf.session import ModelSession, open_session
from kappamask_udf.tiling import TileAxis
from kappamask_udf.variants import convert_to_half, quantise

VariantPrecision = Literal["fp16", "int8"]
MIN_ARGMAX = 0.98
MIN_DICE = 0.95
MIN_SHARE = 0.005
"""Classes with a smaller share of the pixels decide nothing."""
_GOLDEN = 0.6180339887498949
_SAMPLE_PX = 64
_TIMED_RUNS = 5

Progress = Callable[[str, float], None]
"""Called with what is being done and the share of it that is done."""


@dataclass(frozen=True)
class MeasuredProduct:
    """A product to compare masks on."""

    location: str
    truth: Path | None = None
    """Raster of true classes on the product's 10 m grid, if known."""


@dataclass(frozen=True)
class VariantRequest:
    """What is to be made."""

    spec: ModelSpec
    precision: VariantPrecision
    name: str
    calibrate: tuple[str, ...]
    """Products to take ranges from (`int8`)."""
    measure: tuple[MeasuredProduct, ...]
    n_tiles: int = 32
    """Tiles to take ranges from."""
    is_forced: bool = False
    """Whether to register what agrees too little."""


@dataclass(frozen=True)
class Variant:
    """A variant that was registered."""

    spec: ModelSpec
    agreement: MaskAgreement
    seconds: tuple[float, float]
    """Per tile on this CPU: the model and its variant, medians of turns."""


def make_variant(request: VariantRequest, progress: Progress) -> Variant:
    """Make a variant, measure it and register it.

    Raises:
        ModelError: the model is no float32 network, the name will not do, a product is given for
            both calibration and measurement, or the variant agrees too little and is not forced.
        MissingExtraError: onnx is not installed.
        KappamaskError: a product cannot be read or has another level.
    """
    spec = request.spec
    _check_request(request)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_product(one)) for one in request.calibrate]
        measured = [
            (stack.enter_context(open_product(one.location)), one.truth) for one in request.measure
        ]
        _check_products(spec, opened, [product for product, _ in measured])
        network = _convert(request, opened, progress)
        item = _variant_item(request)
        candidate = _open_candidate(item, network, stack)
        session = open_session(spec, "cpu")
        agreement = compare_sessions(session, candidate, measured, progress)
        seconds = _time_in_turn(session, candidate)
    _check_agreement(request, agreement)
    item["properties"]["kappamask:agreement"] = _record(request, opened, agreement)
    registered = register_model(user_model_folder(), item, network)
    return Variant(registered, agreement, seconds)


def check_variant(spec: ModelSpec, name: str) -> None:
    """Raise `ModelError` unless a variant of the model may be made and called `name`."""
    if spec.precision != "fp32":
        raise ModelError(
            f"model {spec.name!r} is {spec.precision} already; variants are made of fp32 models"
        )
    if check_user_name(name) == spec.name:
        raise ModelError(f"a variant cannot have the name of its model, {spec.name!r}")


def _check_request(request: VariantRequest) -> None:
    check_variant(request.spec, request.name)
    both = set(request.calibrate) & {one.location for one in request.measure}
    if both:
        raise ModelError(_in_both(sorted(both)))
    if not request.measure:
        raise ModelError("there is no product to measure the agreement on; give one with --measure")


def _in_both(names: Sequence[str]) -> str:
    return (
        f"{', '.join(names)}: given to calibrate and to measure; what a variant was calibrated on "
        "says nothing about how well it agrees"
    )


def _check_products(
    spec: ModelSpec, calibrate: Sequence[Product], measure: Sequence[Product]
) -> None:
    for product in (*calibrate, *measure):
        check_level(spec, product)
    known = {_fingerprint(product, spec.bands[0]) for product in calibrate}
    both = [one.location for one in measure if _fingerprint(one, spec.bands[0]) in known]
    if both:
        raise ModelError(_in_both(sorted(both)))


def _fingerprint(product: Product, band: str) -> tuple[str, bytes]:
    """Tells whether two products are one, however they are packed: the id and the pixels in the
    middle, since one id can stand for other pixels.
    """
    factor = product.band_resolution_m(band) // NATIVE_RESOLUTION_M
    rows, cols = (size // factor for size in product.shape_yx)
    window = PixelWindow(
        rows // 2 - min(rows // 2, _SAMPLE_PX), rows // 2 + 1,
        cols // 2 - min(cols // 2, _SAMPLE_PX), cols // 2 + 1,
    )  # fmt: skip
    return product.id, sha256(product.read_dn(band, window).tobytes()).digest()


def _convert(request: VariantRequest, products: Sequence[Product], progress: Progress) -> bytes:
    path = locate(request.spec)
    if request.precision == "fp16":
        progress("converting", 0.0)
        return convert_to_half(path)
    tiles = sample_tiles(request.spec, products, request.n_tiles)
    return quantise(
        path, tiles, progress=lambda n: progress("calibrating", min(n / request.n_tiles, 1.0))
    )


def sample_tiles(
    spec: ModelSpec, products: Sequence[Product], n_tiles: int
) -> Iterator[NDArray[np.float32]]:
    """Network input of about `n_tiles` tiles, (1, ...) in the network's layout, from all products
    alike and from all over each of them; always the same. Tiles without data are left out.
    """
    for index, product in enumerate(products):
        count = n_tiles * (index + 1) // len(products) - n_tiles * index // len(products)
        for row, col in _scattered(spec, product.shape_yx, count):
            tile = _read_tile(spec, product, row, col)
            if tile is not None:
                yield tile[None] if spec.layout == "nchw" else tile.transpose(1, 2, 0)[None]


def _scattered(spec: ModelSpec, shape_yx: tuple[int, int], count: int) -> Sequence[tuple[int, int]]:
    """Rows and columns of tiles that are spread over a product."""
    plan = plan_window(spec, shape_yx, None)
    n_cols = len(plan.tile_cols)
    count = min(count, plan.n_tiles)
    # Steps by the golden section hit every part of a range evenly, and no column twice in a row.
    order = np.argsort(np.argsort([(one * _GOLDEN) % 1 for one in range(plan.n_tiles)]))
    return [divmod(int(one), n_cols) for one in order[:count]]


def _read_tile(spec: ModelSpec, product: Product, row: int, col: int) -> NDArray[np.float32] | None:
    """(bands, tile, tile) network input of one tile, or `None` if nothing of it is valid."""
    plan = plan_window(spec, product.shape_yx, None)
    window = _middle(plan.rows, row), _middle(plan.cols, col)
    factor, shape = spec.grid_factor, product.shape_yx
    pixel = PixelWindow(
        window[0] * factor, min(window[0] * factor + 1, shape[0]),
        window[1] * factor, min(window[1] * factor + 1, shape[1]),
    )  # fmt: skip
    for item in read_tiles(product, spec, plan_window(spec, shape, pixel), threads=1):
        if isinstance(item, Tile) and (item.row, item.col) == (row, col):
            return item.values
    return None


def _middle(axis: TileAxis, index: int) -> int:
    low, high = axis.support(index)
    return (low + high) // 2


def _variant_item(request: VariantRequest) -> dict[str, Any]:
    spec = request.spec
    item: dict[str, Any] = copy.deepcopy(dict(spec.item))
    properties = item["properties"]
    item["id"] = properties["mlm:name"] = request.name
    properties["title"] = f"{spec.title} ({request.precision})"
    properties["kappamask:precision"] = request.precision
    properties["kappamask:variant_of"] = {
        "name": spec.name, "version": spec.version, "sha256": spec.sha256,
    }  # fmt: skip
    properties.pop("kappamask:conversion", None)
    return item


def _open_candidate(item: Mapping[str, Any], network: bytes, stack: ExitStack) -> ModelSession:
    """The variant, from a place where nobody finds it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kappamask-")))
    return open_session(register_model(folder, item, network), "cpu")


def _time_in_turn(session: ModelSession, candidate: ModelSession) -> tuple[float, float]:
    spec = session.spec
    shape = (1, len(spec.bands), spec.tiling.tile_px, spec.tiling.tile_px)
    tile = np.random.default_rng(0).random(shape, dtype=np.float32)
    times: tuple[list[float], list[float]] = ([], [])
    with ThreadPoolExecutor(session.lanes) as pool:
        for _ in range(_TIMED_RUNS):
            for one, taken in zip((session, candidate), times, strict=True):
                start = perf_counter()
                list(pool.map(one.score, [tile] * session.lanes))
                taken.append((perf_counter() - start) / session.lanes)
    return median(times[0]), median(times[1])


def _check_agreement(request: VariantRequest, agreement: MaskAgreement) -> None:
    """Raise `ModelError` if a variant agrees too little and is not forced."""
    if request.is_forced:
        return
    lacking = []
    if agreement.argmax < MIN_ARGMAX:
        lacking.append(
            f"{100 * agreement.argmax:.2f} % of the pixels have the same class (at least "
            f"{100 * MIN_ARGMAX:g} %)"
        )
    lacking += [
        f"Dice of {mask_class.style.title} is {dice:.3f} (at least {MIN_DICE:g})"
        for mask_class, dice in agreement.dice_of_model(MIN_SHARE).items()
        if dice < MIN_DICE
    ]
    if lacking:
        raise ModelError(
            f"the {request.precision} variant of {request.spec.name!r} agrees too little with it: "
            f"{'; '.join(lacking)}. Nothing was registered; --force registers it all the same"
        )


def _record(
    request: VariantRequest, calibrated: Sequence[Product], agreement: MaskAgreement
) -> dict[str, Any]:
    """What the item says of the agreement."""
    return {
        **agreement.as_dict(MIN_SHARE),
        "calibrated_on": [product.id for product in calibrated],
        "calibration_tiles": request.n_tiles if request.precision == "int8" else 0,
        "forced": request.is_forced,
        "cpu": cpu_name(),
        "runtime": f"onnxruntime {_runtime_version()}, CPUExecutionProvider",
    }


def _runtime_version() -> str:
    for name in ("onnxruntime", "onnxruntime-gpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def cpu_name() -> str:
    """What the processor calls itself."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
