"""What every variant is made from: the network in plain 32-bit floats, simplified by ONNX Runtime,
with a name for every operator.
"""

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np


def prepare(network: Path, folder: Path) -> Any:
    """The ONNX model of a file, ready to be changed; `folder` takes files that are made on the way.

    Raises whatever the libraries raise.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    wide, prepared = folder / "wide.onnx", folder / "prepared.onnx"
    onnx.save(widen(onnx.load(str(network))), str(wide))
    quant_pre_process(str(wide), str(prepared), skip_symbolic_shape=True)
    model = onnx.load(str(prepared))
    drop_idle_casts(model.graph)
    for index, node in enumerate(model.graph.node):
        # Operators are left out of a conversion by name.
        node.name = node.name or f"{node.op_type}_{index}"
    return model


def widen(model: Any) -> Any:
    """The ONNX model with float32 wherever it has float16, in place.

    Networks that were exported in mixed precision carry half floats and casts, which CPUs turn back
    and forth and which other conversions do not understand.
    """
    from onnx import TensorProto, numpy_helper

    def widened(tensor: Any) -> Any:
        values = numpy_helper.to_array(tensor).astype(np.float32)
        return numpy_helper.from_array(values, tensor.name)

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(widened(tensor))
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(widened(attribute.t))
            is_cast = node.op_type == "Cast" and attribute.name == "to"
            if is_cast and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    # Types of what lies between are worked out again by whoever needs them.
    del model.graph.value_info[:]
    return model


def drop_idle_casts(graph: Any) -> None:
    """Take out casts from float32 to float32, in place; types must have been inferred."""
    from onnx import TensorProto

    float32 = {
        value.name
        for value in (*graph.input, *graph.value_info)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    results = {output.name for output in graph.output}
    for cast in [node for node in graph.node if node.op_type == "Cast"]:
        source, target = cast.input[0], cast.output[0]
        if source not in float32 or cast.attribute[0].i != TensorProto.FLOAT:
            continue
        graph.node.remove(cast)
        # The name of a result stays; within the graph either name will do.
        old, new = (source, target) if target in results else (target, source)
        for node in graph.node:
            _rename(node.input, old, new)
            _rename(node.output, old, new)


def _rename(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new


def sort_operators(graph: Any) -> None:
    """Put the operators of a graph into an order in which each finds its inputs made, in place."""
    makers = {output: index for index, node in enumerate(graph.node) for output in node.output}
    needs = [{makers[name] for name in node.input if name in makers} for node in graph.node]
    users: dict[int, list[int]] = {}
    for index, needed in enumerate(needs):
        for maker in needed:
            users.setdefault(maker, []).append(index)
    ready = deque(index for index, needed in enumerate(needs) if not needed)
    order = []
    while ready:
        index = ready.popleft()
        order.append(index)
        for user in users.get(index, ()):
            needs[user].discard(index)
            if not needs[user]:
                ready.append(user)
    nodes = [graph.node[index] for index in order]
    del graph.node[:]
    graph.node.extend(nodes)
