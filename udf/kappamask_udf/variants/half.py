"""Networks in half precision (float16). Input and output stay float32."""

import tempfile
import warnings
from pathlib import Path

from kappamask_udf.errors import MissingExtraError, ModelError
from kappamask_udf.runtimes import first_line
from kappamask_udf.variants.preparing import prepare, sort_operators


def convert_to_half(network: Path) -> bytes:
    """An ONNX file with float16 weights and arithmetic.

    Resampling stays in float32: its positions need more digits than float16 has.

    Raises:
        ModelError: the file cannot be converted.
        MissingExtraError: onnx or ONNX Runtime is not installed.
    """
    try:
        import onnx
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    except ImportError as error:
        raise MissingExtraError(
            "making variants needs onnx; install 'openeo-kappamask[cpu,import]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="kappamask-") as folder, warnings.catch_warnings():
        # Weights below the smallest half float become that float; agreement is measured.
        warnings.simplefilter("ignore")
        try:
            half = convert_float_to_float16(
                prepare(network, Path(folder)),
                keep_io_types=True,
                op_block_list=[*DEFAULT_OP_BLOCK_LIST, "Resize"],
            )
            sort_operators(half.graph)
            onnx.checker.check_model(half)
        except Exception as error:
            # The library's own errors share no base class but Exception.
            raise ModelError(
                f"{network} cannot be converted to float16: {first_line(error)}"
            ) from error
        content: bytes = half.SerializeToString()
    return content
