"""A little more than `onnx.helper`: nodes and weights collected under unique names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""The lowest that says all we need, so that older runtimes and TensorRT read the files too."""
IR_VERSION = 9


class GraphBuilder:
    """Collects the nodes and weights of one graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._indices: dict[tuple[int, ...], str] = {}

    def node(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output and return the output's name."""
        output = f"{op.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def rename(self, tensor: str, name: str) -> str:
        """Give the output of the latest node that made `tensor` another name."""
        for node in reversed(self._nodes):
            if tensor in node.output:
                node.output[0] = name
                return name
        raise KeyError(tensor)

    def weight(self, name: str, values: NDArray[Any]) -> str:
        """Add float32 weights."""
        contiguous = np.ascontiguousarray(values, dtype=np.float32)
        self._weights.append(numpy_helper.from_array(contiguous, name))
        return name

    def indices(self, values: Sequence[int]) -> str:
        """Add int64 numbers (pads, axes, sizes), each list once."""
        key = tuple(int(value) for value in values)
        if key not in self._indices:
            self._indices[key] = f"indices_{len(self._indices)}"
            tensor = numpy_helper.from_array(np.array(key, np.int64), self._indices[key])
            self._weights.append(tensor)
        return self._indices[key]

    def model(
        self,
        name: str,
        inputs: dict[str, Sequence[int | str]],
        outputs: dict[str, Sequence[int | str]],
        description: str,
    ) -> onnx.ModelProto:
        """The checked model; shapes with a string where an axis is free."""
        graph = helper.make_graph(
            self._nodes,
            name,
            [_float_tensor(key, shape) for key, shape in inputs.items()],
            [_float_tensor(key, shape) for key, shape in outputs.items()],
            self._weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="kappamask",
            doc_string=description,
        )
        onnx.checker.check_model(model)
        return model


def _float_tensor(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
