"""Keras weights to an ONNX network with its MLM item, proven on the way: every file's network runs
once in the fast graph and once layer by layer, and both must give the same.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kappamask_udf.deeplab.graph import build_graph
from kappamask_udf.deeplab.keras_file import read_keras_layers
from kappamask_udf.deeplab.literal import build_literal_graph
from kappamask_udf.deeplab.weights import NetworkWeights, match_layers
from kappamask_udf.errors import ModelError
from kappamask_udf.models.spec import MULTIHASH_SHA256, ModelSpec, parse_model_item
from kappamask_udf.pixels import Level
from kappamask_udf.runtimes import run_once
from kappamask_udf.session import softmax

Floats = NDArray[np.float32]
MAX_DIFFERENCE = 1e-2
"""Of probabilities between both graphs. Sums in another order move them by some 1e-5; a mistake in
the graph, by tenths."""
TRIAL_SEED = 20220913


@dataclass(frozen=True)
class Conversion:
    """A converted network and how close it is to the one it was made from."""

    weights: NetworkWeights
    network: bytes
    """The ONNX file."""
    max_difference: float
    """Of probabilities 0-1, from the network run layer by layer, on trial tiles."""
    argmax_agreement: float
    """Share of the trial tiles' pixels that get the same class."""

    @property
    def level(self) -> Level:
        """What the network is made for."""
        return self.weights.level


@dataclass(frozen=True)
class WeightSource:
    """Where weights came from, for the record in the model's item."""

    name: str
    """File name, without folder."""
    sha256: str
    size_bytes: int
    url: str | None = None


def describe_source(path: Path, url: str | None = None) -> WeightSource:
    """Checksum and size of a weight file.

    Raises:
        ModelError: the file cannot be read.
    """
    digest = sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
        size = path.stat().st_size
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    return WeightSource(path.name, digest.hexdigest(), size, url)


def convert_weights(path: Path) -> Conversion:
    """The network of a Keras weight file.

    Raises:
        ModelError: no such file, another format, architecture or number of bands, or a network
            whose answers are not finite.
        MissingExtraError: h5py or ONNX Runtime is not installed.
    """
    weights = match_layers(read_keras_layers(path), str(path))
    tile_px = int(_template(weights.level)["properties"]["kappamask:tiling"]["tile"])
    model = build_graph(weights, tile_px)
    model_bytes = model.SerializeToString()
    tiles = _trial_tiles(weights.n_bands, tile_px)
    logits = run_once(model_bytes, tiles)
    literal = build_literal_graph(weights, tile_px).SerializeToString()
    theirs = run_once(literal, np.ascontiguousarray(tiles.transpose(0, 2, 3, 1)))
    theirs = theirs.transpose(0, 3, 1, 2)
    if not (np.isfinite(logits).all() and np.isfinite(theirs).all()):
        raise ModelError(
            f"{path}: the network gives values that are not finite; its weights are damaged"
        )
    ours = softmax(logits)
    difference = float(np.abs(ours - theirs).max())
    if difference > MAX_DIFFERENCE:
        raise ModelError(
            f"{path}: the converted network differs from the original by {difference:.2g} in "
            f"probability (at most {MAX_DIFFERENCE:g} is rounding); please report this"
        )
    agreement = float((ours.argmax(axis=1) == theirs.argmax(axis=1)).mean())
    return Conversion(weights, model_bytes, difference, agreement)


def _trial_tiles(n_bands: int, tile_px: int) -> Floats:
    """(2, bands, tile, tile): a tile without light, and one with light at several scales."""
    rng = np.random.default_rng(TRIAL_SEED)
    tiles = np.zeros((2, n_bands, tile_px, tile_px), np.float32)
    for cell in (4, 16, 64):
        side = -(-tile_px // cell)
        coarse = rng.random((n_bands, side, side), dtype=np.float32)
        fine = coarse.repeat(cell, axis=1).repeat(cell, axis=2)
        tiles[1] += fine[:, :tile_px, :tile_px] / 3
    return tiles


def build_item(conversion: Conversion, name: str, source: WeightSource) -> dict[str, Any]:
    """The MLM item of a converted network; the file's href is set when it is registered."""
    item = _template(conversion.level)
    properties = item["properties"]
    item["id"] = properties["mlm:name"] = name
    properties["kappamask:conversion"] = {
        "producer": f"kappamask, onnx {onnx.__version__}",
        "max_difference": round(conversion.max_difference, 9),
        "argmax_agreement": round(conversion.argmax_agreement, 9),
    }
    item["assets"]["model"].update(
        {
            "file:checksum": MULTIHASH_SHA256 + sha256(conversion.network).hexdigest(),
            "file:size": len(conversion.network),
        }
    )
    item["assets"]["source"] = {
        "href": source.url or source.name,
        "type": "application/x-hdf5",
        "title": "Keras weights that the network was converted from",
        "roles": ["source"],
        "file:checksum": MULTIHASH_SHA256 + source.sha256,
        "file:size": source.size_bytes,
    }
    return item


def template_names() -> Mapping[Level, str]:
    """The name under which a converted network becomes its level's default."""
    return {"L1C": "kappamask-v2-l1c", "L2A": "kappamask-v2-l2a"}


def read_template(level: Level) -> ModelSpec:
    """What the item of a level's network says, before there is a file."""
    item = _template(level)
    item["assets"]["model"] |= {
        "href": "made when the weights are imported",
        "file:checksum": MULTIHASH_SHA256 + 64 * "0",
    }
    return parse_model_item(item, origin=template_names()[level])


def _template(level: Level) -> dict[str, Any]:
    file = resources.files("kappamask_udf.deeplab") / "items" / f"{template_names()[level]}.json"
    item: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return copy.deepcopy(item)
