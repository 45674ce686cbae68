"""`kappamask models fetch` and `import` as a user types them."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pystac
import pytest
import rasterio

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import ProductPaths
from tests.deeplab.deterministic import make_layers
from tests.deeplab.keras_files import write_keras_file

from .conftest import SIZE_PX, Run
from .file_server import Served, serve


def registered(folder: Path) -> list[str]:
    """Whatever is in a model folder, at any depth."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The user's model folder, as `run` sets it."""
    return tmp_path / "models"


@pytest.fixture(scope="session")
def imported(weights_l1c: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with the deterministic network as `kappamask-v2-l1c`."""
    from typer.testing import CliRunner

    from kappamask_backend.cli import app

    folder = tmp_path_factory.mktemp("imported")
    arguments = ["models", "import", str(weights_l1c), "--as", "kappamask-v2-l1c", "--json"]
    result = CliRunner().invoke(app, arguments, env={"KAPPAMASK_MODEL_FOLDER": str(folder)})
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["is_default"]
    assert answer["max_difference"] < 1e-4
    return folder


@pytest.fixture
def with_imported(imported: Path, models: Path) -> Path:
    shutil.copytree(imported, models)
    return models


def test_imported_model_is_the_default_of_its_level(run: Run, with_imported: Path) -> None:
    listed = {one["name"]: one for one in json.loads(run("models", "list", "--json").stdout)}
    assert listed["kappamask-v2-l1c"]["is_default"]
    assert listed["ukis-csmask-6b-l2a"]["is_default"]
    network, item = registered(with_imported)
    assert item == "kappamask-v2-l1c.json"
    assert re.fullmatch(r"kappamask-v2-l1c-[0-9a-f]{12}\.onnx", network)


def test_imported_item_is_valid_and_says_where_weights_came_from(
    run: Run, with_imported: Path, weights_l1c: Path
) -> None:
    item = pystac.Item.from_file(str(with_imported / "kappamask-v2-l1c.json"))
    validate_item(item.to_dict(include_self_link=False))
    assert item.assets["source"].href == weights_l1c.name
    shown = run("models", "show", "kappamask-v2-l1c").stdout
    for text in (
        "profile sound",
        "the default",
        "profile original",
        "tiling grid-22",
        "conversion",
    ):
        assert text in shown


def test_mask_by_the_imported_model(run: Run, with_imported: Path, product: ProductPaths) -> None:
    answer = run("mask", product.safe, "-o", "mask", "--json")
    assert answer.exit_code == 0, answer.stderr
    assert "the default for L1C" in answer.stderr
    item = json.loads(next(Path("mask").glob("S2*.json")).read_text())
    assert item["properties"]["kappamask:model"] == "kappamask-v2-l1c"
    assert item["properties"]["kappamask:profile"] == "sound"
    assert "kappamask:tiling" not in item["properties"]
    assert item["properties"]["kappamask:not_predicted"] == []


def test_profile_and_tiling_by_name(run: Run, with_imported: Path, product: ProductPaths) -> None:
    arguments = ("--profile", "original", "--tiling", "grid-22")
    answer = run("mask", product.safe, *arguments, "--json")
    assert answer.exit_code == 0, answer.stderr
    (folder,) = Path().iterdir()
    assert folder.name.endswith("_kappamask-v2-l1c_original_grid-22_v2.4")
    item = json.loads((folder / f"{folder.name}.json").read_text())
    assert item["id"] == folder.name
    assert item["properties"]["kappamask:profile"] == "original"
    assert item["properties"]["kappamask:tiling"] == "grid-22"
    assert "profile original, tiling grid-22" in item["properties"]["processing:lineage"]
    assert validate_item(item) == []
    with rasterio.open(folder / "mask.tif") as mask:
        assert mask.shape == (SIZE_PX, SIZE_PX)


def test_unknown_profile_names_those_that_are_there(
    run: Run, with_imported: Path, product: ProductPaths
) -> None:
    answer = run("mask", product.safe, "--profile", "km_predict")
    assert answer.exit_code == 1
    assert "no profile is called 'km_predict'; there are sound, original" in answer.error
    answer = run("mask", product.safe, "--model", "ukis-csmask-6b-l1c", "--profile", "sound")
    assert "no profile is called 'sound'; it has no profiles" in answer.error


def test_l2a_weights_become_the_default_for_l2a(run: Run, weights_l2a: Path) -> None:
    answer = run("models", "import", weights_l2a, "--as", "kappamask-v2-l2a")
    assert answer.exit_code == 0, answer.stderr
    assert "Level-2A, now the default" in answer.stdout


def test_weights_of_the_other_level_are_refused(run: Run, weights_l2a: Path, models: Path) -> None:
    answer = run("models", "import", weights_l2a, "--as", "kappamask-v2-l1c")
    assert answer.exit_code == 1
    assert "the network for L2A (14 bands), which cannot be called" in answer.error
    assert "--as kappamask-v2-l2a" in answer.error
    assert not models.exists()


def _html(path: Path) -> None:
    path.write_text("<!DOCTYPE html><html><body>Sign in to the proxy</body></html>")


def _truncated(path: Path) -> None:
    whole = write_keras_file(path.with_name("whole.hdf5"), make_layers())
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])


def _other_network(path: Path) -> None:
    layers = make_layers()
    layers.pop("batch_normalization_48")
    write_keras_file(path, layers)


def _other_bands(path: Path) -> None:
    layers = make_layers()
    layers["conv2d_0"] = (layers["conv2d_0"][0][:, :, :10],)
    write_keras_file(path, layers)


def _no_keras(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["numbers"] = np.arange(5)


def _overflowing(path: Path) -> None:
    """Finite weights whose products are not."""
    layers = make_layers()
    kernel, bias = layers["conv2d_15"]
    layers["conv2d_15"] = (np.full_like(kernel, 3e38), bias)
    write_keras_file(path, layers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_html, "is not an HDF5 file: it is a web page"),
        (_truncated, "cut off or damaged"),
        (_other_network, "92 layers with weights, 93 expected; missing: batch_normalization_48"),
        (_other_bands, "made for 10 bands; KappaMaskv2 takes 13"),
        (_no_keras, "not in the weight layout of Keras 2"),
        (_overflowing, "values that are not finite"),
        (lambda _path: None, "cannot read"),
    ],
)
def test_bad_files_are_refused_and_nothing_is_registered(
    run: Run, tmp_path: Path, models: Path, make: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "weights.hdf5"
    make(path)
    answer = run("models", "import", path, "--as", "mine")
    assert answer.exit_code == 1
    assert message in answer.error
    assert not models.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ukis-csmask-6b-l1c", "is a model of built-in already"),
        ("../mine", "a model's name has lower-case letters"),
        ("Mine", "a model's name has lower-case letters"),
    ],
)
def test_names_that_cannot_be_are_refused_first(run: Run, name: str, message: str) -> None:
    answer = run("models", "import", "no-such-file.hdf5", "--as", name)
    assert answer.exit_code == 1
    assert message in answer.error


@pytest.fixture
def weight_server(weights_l1c: Path):  # type: ignore[no-untyped-def]
    with serve(Served(weights_l1c.read_bytes())) as served:
        yield served


@pytest.mark.enable_socket
def test_fetch_resumes_converts_and_registers(
    run: Run, weight_server: Served, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAPPAMASK_MODEL_MIRROR", weight_server.url.rpartition("/")[0])
    weight_server.cuts.append(len(weight_server.content) // 3)
    answer = run("models", "fetch", "kappamask-v2-l1c")
    assert answer.exit_code == 0, answer.stderr
    assert [path for path, _ in weight_server.requests] == ["/weights/l1c_deeplabv3plus.hdf5"] * 2
    assert weight_server.requests[1][1] == f"bytes={len(weight_server.content) // 3}-"
    item = json.loads((models / "kappamask-v2-l1c.json").read_text())
    assert item["assets"]["source"]["href"].endswith("/weights/l1c_deeplabv3plus.hdf5")
    assert len(registered(models)) == 2
    again = run("models", "fetch", "kappamask-v2-l1c")
    assert "registered already" in again.stderr
    assert len(weight_server.requests) == 2


@pytest.mark.enable_socket
def test_fetch_unreachable_says_how_to_bring_the_file(
    run: Run, models: Path, weight_server: Served
) -> None:
    weight_server.statuses += [404]
    answer = run("models", "fetch", "kappamask-v2-l1c", "--url", weight_server.url)
    assert answer.exit_code == 1
    assert "HTTP 404" in answer.error
    assert "kappamask models import FILE --as kappamask-v2-l1c" in answer.error
    assert not any(name.endswith((".json", ".onnx")) for name in registered(models))


@pytest.mark.enable_socket
def test_fetch_of_a_proxy_page_registers_nothing(
    run: Run, models: Path, weight_server: Served
) -> None:
    weight_server.content = b"<!doctype html><title>Blocked</title>"
    answer = run("models", "fetch", "kappamask-v2-l1c", "--url", weight_server.url)
    assert "it is a web page" in answer.error
    assert registered(models) == []


@pytest.mark.enable_socket
def test_fetch_compares_the_checksum(run: Run, models: Path, weight_server: Served) -> None:
    wanted = "0" * 64
    answer = run(
        "models", "fetch", "kappamask-v2-l1c", "--url", weight_server.url, "--sha256", wanted
    )
    assert f"expected {wanted}" in answer.error
    assert registered(models) == []


def test_fetch_of_a_name_without_weights_names_those_that_have(run: Run) -> None:
    answer = run("models", "fetch", "kappamask-v1")
    assert "published for kappamask-v2-l1c and kappamask-v2-l2a" in answer.error
