"""A folder in which the examples of the documentation run."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from kappamask_backend.cli import app
from kappamask_catalog.scene import write_safe_zip
from kappamask_catalog.sources import open_product

SCENE_PX = 240
"""Side of the scene: small, and large enough for the areas that the pages name."""


def write_network(path: Path) -> None:
    """A network of one 1 x 1 convolution: 4 bands to 3 classes, tiles of 256 x 256."""
    weights = np.array(
        [[-1, -1, -1, 1], [-2, -2, -2, -2], [1, 1, 1, 0]], np.float32
    ).reshape(3, 4, 1, 1)  # fmt: skip
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input", "weights"], ["output"])],
        "network",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 4, 256, 256])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3, 256, 256])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `kappamask demo` writes, with a small scene."""
    folder = tmp_path_factory.mktemp("documentation") / "demo"
    arguments = ["demo", "--output", str(folder), "--size", str(SCENE_PX), "--device", "cpu"]
    result = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def examples_folder(demo_folder: Path) -> Path:
    """The files that the pages speak of: the demo, `product.SAFE` in all forms, a network, and a
    web page in place of one."""
    folder = demo_folder.parent
    safe = folder / "product.SAFE"
    shutil.copytree(min(demo_folder.glob("*.SAFE")), safe)
    write_safe_zip(safe)
    with open_product(str(safe)) as product:
        item = product.item.clone()
    item.set_self_href(str(folder / "product.json"))
    item.make_asset_hrefs_relative()
    (folder / "product.json").write_text(json.dumps(item.to_dict(include_self_link=False)))
    write_network(folder / "my-network.onnx")
    (folder / "page.hdf5").write_text("<!DOCTYPE html><title>Sign in</title>")
    return folder


@pytest.fixture
def in_examples_folder(
    examples_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working folder with the same files, for one page: what it writes no other page sees."""
    for path in examples_folder.iterdir():
        if path.is_dir():
            (tmp_path / path.name).symlink_to(path)
        else:
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    # Nothing of the user's own is read or written.
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path
