"""Pixels to masks: tiled ONNX inference of cloud masks for Sentinel-2.

Knows no network, no settings and no server: numpy, xarray, onnxruntime.
"""

from kappamask_udf.classes import MaskClass
from kappamask_udf.engine import predict
from kappamask_udf.errors import KappamaskError
from kappamask_udf.models import ModelSpec, load_registry
from kappamask_udf.pixels import BandSource, Calibration, PixelWindow
from kappamask_udf.session import open_session
from kappamask_udf.stitching import MaskStrip

__all__ = [
    "BandSource",
    "Calibration",
    "KappamaskError",
    "MaskClass",
    "MaskStrip",
    "ModelSpec",
    "PixelWindow",
    "load_registry",
    "open_session",
    "predict",
]
