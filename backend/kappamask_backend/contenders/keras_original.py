"""The original as a contender: km_predict's network in TensorFlow, alone or in its own loop.

Run with the Python of an environment for km_predict: `PYTHON keras_original.py KIND SETTING`.
Kinds: `graph` (the network alone) and `loop` (km_predict's data generator, `predict` and pictures;
without its tiler and its mosaic). Nothing of kappamask is installed there.
"""

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

TILE_PX = 512
N_TILES = 8
"""Different tile files that the loop goes through."""
BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
CLASSES = ["UNDEFINED", "CLEAR", "CLOUD_SHADOW", "SEMI_TRANSPARENT_CLOUD", "CLOUD", "MISSING"]


def open_network(weights: str, checkout: str, threads: int) -> Any:
    """km_predict's model object with weights, on `threads` threads."""
    sys.path.insert(0, checkout)
    tensorflow = importlib.import_module("tensorflow")
    tensorflow.config.threading.set_intra_op_parallelism_threads(threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads)
    network = importlib.import_module("architectures").DeepLabv3Plus()
    network.set_batch_size(1)
    network.construct(TILE_PX, TILE_PX, len(BANDS), len(CLASSES))
    network.compile()
    network.load_weights(weights)
    return network


def graph(weights: str, checkout: str, threads: int) -> Callable[[int], object]:
    """The network as one TensorFlow function."""
    network = open_network(weights, checkout, threads).model
    tensorflow = importlib.import_module("tensorflow")
    numpy = importlib.import_module("numpy")
    call = tensorflow.function(lambda tiles: network(tiles, training=False))
    tile = numpy.random.default_rng(0).random((1, TILE_PX, TILE_PX, len(BANDS)), numpy.float32)
    feed = tensorflow.constant(tile)
    return lambda n: [call(feed).numpy() for _ in range(n)]


def loop(weights: str, checkout: str, threads: int) -> Callable[[int], object]:
    """`KMPredict.predict` from its data generator to its pictures, batch size 1 as configured."""
    network = open_network(weights, checkout, threads)
    numpy = importlib.import_module("numpy")
    generator = importlib.import_module("data_generator").DataGenerator
    save = importlib.import_module("util.save_prediction_masks").save_masks_contrast
    folder = Path(tempfile.mkdtemp(prefix="km-predict-"))
    paths = [str(_write_tile(folder, index)) for index in range(N_TILES)]
    offsets = numpy.full(len(BANDS), -1000)

    def run(n: int) -> None:
        for index in range(n):
            path = paths[index % N_TILES]
            batches = generator(
                [path], str(folder), "DeepLabv3Plus", 1, BANDS, TILE_PX, len(CLASSES), "L1C",
                offsets, shuffle=False,
            )  # fmt: skip
            predictions = network.predict(batches)
            classes = numpy.argmax(predictions, axis=3)
            save(path, predictions[0], classes[0], str(folder / "prediction"), CLASSES)

    return run


def _write_tile(folder: Path, index: int) -> Path:
    """A sub-tile as cm_vsm writes it: NetCDF of float32, DN / 65535, deflated with shuffle."""
    numpy = importlib.import_module("numpy")
    rng = numpy.random.default_rng(index)
    path = folder / f"tile_{index}_0" / f"T00AAA_tile_{index}_0.nc"
    path.parent.mkdir()
    with importlib.import_module("netCDF4").Dataset(path, "w") as root:
        root.createDimension("x", TILE_PX)
        root.createDimension("y", TILE_PX)
        for band in BANDS:
            coarse = rng.integers(1500, 9000, (TILE_PX // 16, TILE_PX // 16))
            dn = coarse.repeat(16, 0).repeat(16, 1) + rng.integers(0, 60, (TILE_PX, TILE_PX))
            values = root.createVariable(
                band, "f4", ("x", "y"), zlib=True, shuffle=True, complevel=9
            )
            values[:] = (dn / 65535).astype("f4")
    return path


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    answer_rounds = importlib.import_module("answering").answer_rounds
    kind, told = {"graph": graph, "loop": loop}[sys.argv[1]], json.loads(sys.argv[2])
    answer_rounds(lambda: kind(**told))
