"""Small networks and in-memory products, built and never downloaded."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from kappamask_udf.bands import BANDS
from kappamask_udf.errors import MissingBandError
from kappamask_udf.models import ModelSpec, parse_model_item
from kappamask_udf.pixels import Calibration, Level, PixelWindow

BLEND = {"tile": 32, "stride": 24, "origin": -5, "stitch": "blend", "tukey_alpha": 0.5}
CROP = {"tile": 32, "stride": 24, "origin": 0, "stitch": "crop", "crop": 4}


@pytest.fixture(autouse=True)
def fresh_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks loaded by one test are not there in the next."""
    monkeypatch.setattr("kappamask_udf.session._runtimes", {})


def write_network(path: Path, n_bands: int, n_classes: int, tile_px: int, nhwc: bool) -> None:
    """A network whose answer for a pixel depends on its neighbours and on the whole tile, so that
    a tile in another place, or with other context, shows.
    """
    rng = np.random.default_rng(7)
    kernel = rng.normal(0, 0.6, (n_classes, n_bands, 3, 3)).astype(np.float32)
    pooled = rng.normal(0, 2.0, (n_classes, n_bands, 1, 1)).astype(np.float32)
    shape = ["n", n_bands, tile_px, tile_px] if not nhwc else ["n", tile_px, tile_px, n_bands]
    out = ["n", n_classes, tile_px, tile_px] if not nhwc else ["n", tile_px, tile_px, n_classes]
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["local"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Conv", ["mean", "pooled"], ["global"]),
        helper.make_node("Add", ["local", "global"], ["y"]),
    ]
    if nhwc:
        nodes[0].input[0] = nodes[1].input[0] = "x_nchw"
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["x_nchw"], perm=[0, 3, 1, 2]))
        nodes[-1].output[0] = "y_nchw"
        nodes.append(helper.make_node("Transpose", ["y_nchw"], ["y"], perm=[0, 2, 3, 1]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(pooled, "pooled")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def model_item(path: Path, **changes: Any) -> dict[str, Any]:
    """An MLM item for a network of `write_network`."""
    bands = changes.get("bands", ["B02", "B11", "B10"])
    tiling = dict(changes.get("tiling", BLEND))
    tile_px, n_bands = tiling["tile"], len(bands)
    nhwc = changes.get("nhwc", False)
    order = ["batch", "height", "width", "bands"] if nhwc else ["batch", "bands", "height", "width"]
    shape = [-1, tile_px, tile_px, n_bands] if nhwc else [-1, n_bands, tile_px, tile_px]
    classes = changes.get("classes", ["clear", "cloud", "cloud_shadow"])
    return {
        "type": "Feature",
        "properties": {
            "title": "small",
            "version": "1",
            "license": "CC0-1.0",
            "mlm:name": changes.get("name", "small"),
            "mlm:input": [
                {
                    "name": "x",
                    "bands": bands,
                    "input": {"shape": shape, "dim_order": order, "data_type": "float32"},
                    "value_scaling": [{"type": "z-score", "mean": 0.2, "stddev": 0.1}],
                }
            ],
            "mlm:output": [
                {
                    "name": "y",
                    "result": {"dim_order": order, "data_type": "float32"},
                    "classification:classes": [
                        {"value": value, "name": name} for value, name in enumerate(classes)
                    ],
                }
            ],
            "kappamask:level": changes.get("level", "L1C"),
            "kappamask:resolution": changes.get("resolution", 30),
            "kappamask:input_unit": changes.get("input_unit", "reflectance"),
            "kappamask:clip": changes.get("clip", [None, 2.0]),
            "kappamask:activation": "softmax",
            "kappamask:tiling": tiling,
        },
        "assets": {
            "model": {
                "href": path.name,
                "roles": ["mlm:model"],
                "file:checksum": "1220" + hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        },
    }


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., ModelSpec]:
    """A factory of runnable small models."""

    def make(**changes: Any) -> ModelSpec:
        bands = changes.get("bands", ["B02", "B11", "B10"])
        path = tmp_path / "small.onnx"
        n_classes = len(changes.get("classes", ["clear", "cloud", "cloud_shadow"]))
        tile_px = changes.get("tiling", BLEND)["tile"]
        write_network(path, len(bands), n_classes, tile_px, changes.get("nhwc", False))
        return parse_model_item(model_item(path, **changes), base=tmp_path)

    return make


@dataclass
class ArraySource:
    """A product in memory, on native grids, with patterns that have no symmetry."""

    shape_yx: tuple[int, int]
    level: Level = "L1C"
    seed: int = 0
    offset: float = -1000.0
    blocks: int = 64
    dn: dict[str, NDArray[np.uint16]] = field(default_factory=dict)
    lost: NDArray[np.bool_] | None = None
    reads: list[tuple[str, PixelWindow]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for name, info in BANDS.items():
            step = info.resolution_m // 10
            shape = [-(-size // step) for size in self.shape_yx]
            rough = rng.integers(1500, 7000, [-(-size // 4) for size in shape])
            smooth = np.kron(rough, np.ones((4, 4), int))[: shape[0], : shape[1]]
            self.dn[name] = (smooth + rng.integers(0, 500, shape)).astype(np.uint16)

    def band_resolution_m(self, band: str) -> int:
        if band not in self.dn:
            raise MissingBandError(band)
        return BANDS[band].resolution_m

    def block_rows(self, band: str) -> int:
        return self.blocks

    def calibration(self, band: str) -> Calibration:
        return Calibration(10000.0, self.offset)

    def read_dn(self, band: str, window: PixelWindow) -> NDArray[np.uint16]:
        self.reads.append((band, window))
        part = self.dn[band][window.row0 : window.row1, window.col0 : window.col1]
        assert part.shape == window.shape_yx, (band, window, part.shape)
        return part

    def read_lost(self, bands: Sequence[str], window: PixelWindow) -> NDArray[np.bool_] | None:
        if self.lost is None:
            return None
        return self.lost[window.row0 : window.row1, window.col0 : window.col1]
