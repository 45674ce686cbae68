"""KappaMaskv2's own network: from the weights that KappaZeta publish to an ONNX file."""

from kappamask_udf.deeplab.convert import (
    Conversion,
    WeightSource,
    build_item,
    convert_weights,
    describe_source,
    template_names,
)

__all__ = [
    "Conversion",
    "WeightSource",
    "build_item",
    "convert_weights",
    "describe_source",
    "template_names",
]
