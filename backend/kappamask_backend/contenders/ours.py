"""Contenders that run here: `python -m kappamask_backend.contenders.ours KIND SETTING`."""

import json
import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kappamask_backend.contenders.answering import answer_rounds
from kappamask_backend.memory import keep_memory_flat
from kappamask_backend.model_choice import choose_model
from kappamask_udf.cutting import MissingRows, Tile
from kappamask_udf.engine import choose_answer, predict_tiles
from kappamask_udf.models import ModelSpec, locate
from kappamask_udf.plan import plan_window
from kappamask_udf.session import open_session

Run = Callable[[int], object]
PRODUCT_PX = 2048
"""Side of the matrices whose product shows what the machine can do."""
PRODUCT_GFLOP = 2 * PRODUCT_PX**3 / 1e9


def _network(model: str, threads: int) -> Run:
    """The network alone, as many tiles side by side as the engine runs."""
    spec = choose_model(model, "L1C").spec
    session = open_session(spec, "cpu", threads)
    tile = _some_tiles(spec)[None]
    pool = ThreadPoolExecutor(session.lanes)
    answer = choose_answer(session, with_probabilities=False)
    return lambda n: deque(pool.map(lambda _: len(answer(tile)), range(n)), maxlen=0)


def _one_lane(model: str, threads: int) -> Run:
    """The same file, one tile at a time with all threads."""
    spec = choose_model(model, "L1C").spec
    tile = _some_tiles(spec)[None]
    return _plain(str(locate(spec)), tile if spec.layout == "nchw" else _nhwc(tile), threads)


def _engine(model: str, threads: int) -> Run:
    """From scaled tiles to classes: network, stitching, most likely class."""
    spec = choose_model(model, "L1C").spec
    session = open_session(spec, "cpu", threads)
    values = _some_tiles(spec)

    def run(n: int) -> object:
        side = spec.tiling.stride_px * spec.grid_factor
        plan = plan_window(spec, (side, n * side), None)
        tiles: Iterator[Tile | MissingRows] = (
            Tile(row, col, values) for row in plan.tile_rows[:1] for col in plan.tile_cols[:n]
        )
        return deque(predict_tiles(tiles, plan, session), maxlen=0)

    return run


def _literal(weights: str, threads: int) -> Run:
    """The network layer by layer as Keras has it, in ONNX Runtime."""
    from kappamask_udf.deeplab.keras_file import read_keras_layers
    from kappamask_udf.deeplab.literal import build_literal_graph
    from kappamask_udf.deeplab.weights import match_layers

    matched = match_layers(read_keras_layers(Path(weights)), weights)
    network = build_literal_graph(matched, 512).SerializeToString()
    return _plain(network, _noise((1, 512, 512, matched.n_bands)), threads)


def _product_fp32(threads: int) -> Run:
    """A matrix product of float32, for the peak."""
    right = numpy_helper.from_array(_noise((PRODUCT_PX, PRODUCT_PX)), "right")
    node = helper.make_node("MatMul", ["left", "right"], ["product"])
    network = _matrix_network([node], [right], TensorProto.FLOAT, TensorProto.FLOAT)
    return _plain(network, _noise((PRODUCT_PX, PRODUCT_PX)), threads)


def _product_int8(threads: int) -> Run:
    """A matrix product of uint8 and int8, for the peak of quantised networks."""
    rng = np.random.default_rng(0)
    # 7 bits, as `reduce_range` makes them: more would saturate 16-bit sums of pairs.
    right = rng.integers(-63, 64, (PRODUCT_PX, PRODUCT_PX)).astype(np.int8)
    left = rng.integers(0, 256, (PRODUCT_PX, PRODUCT_PX)).astype(np.uint8)
    node = helper.make_node("MatMulInteger", ["left", "right"], ["product"])
    weights = [numpy_helper.from_array(right, "right")]
    network = _matrix_network([node], weights, TensorProto.UINT8, TensorProto.INT32)
    return _plain(network, left, threads)


def _matrix_network(nodes: list[Any], weights: list[Any], type_in: int, type_out: int) -> bytes:
    side = [PRODUCT_PX, PRODUCT_PX]
    graph = helper.make_graph(
        nodes, "product",
        [helper.make_tensor_value_info("left", type_in, side)],
        [helper.make_tensor_value_info("product", type_out, side)],
        weights,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def _plain(network: str | bytes, feed: NDArray[Any], threads: int) -> Run:
    """A network as ONNX Runtime runs it by itself."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    runtime = ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    name = runtime.get_inputs()[0].name
    return lambda n: [runtime.run(None, {name: feed}) for _ in range(n)]


def _some_tiles(spec: ModelSpec) -> NDArray[np.float32]:
    return _noise((len(spec.bands), spec.tiling.tile_px, spec.tiling.tile_px))


def _nhwc(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1))


def _noise(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


KINDS: dict[str, Callable[..., Run]] = {
    "network": _network,
    "one lane": _one_lane,
    "engine": _engine,
    "literal": _literal,
    "product fp32": _product_fp32,
    "product int8": _product_int8,
}


if __name__ == "__main__":
    keep_memory_flat()
    answer_rounds(partial(KINDS[sys.argv[1]], **json.loads(sys.argv[2])))
