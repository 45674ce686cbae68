"""Model items, the registry, and files that are not what the item says."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stac_model.schema import MLModelProperties

from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import (
    ChecksumError,
    DeviceError,
    MissingExtraError,
    ModelError,
    ModelNotFoundError,
)
from kappamask_udf.models import ModelSpec, load_registry, parse_model_item, verify_checksum
from kappamask_udf.session import open_session

from .conftest import model_item, write_network

BUILTIN = ("ukis-csmask-4b-l1c", "ukis-csmask-4b-l2a", "ukis-csmask-6b-l1c", "ukis-csmask-6b-l2a")


@pytest.fixture
def item(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "small.onnx"
    write_network(path, 3, 3, 32, nhwc=False)
    return model_item(path)


def test_registry_lists_the_built_in_models() -> None:
    assert tuple(model.spec.name for model in load_registry()) == BUILTIN


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_item_names_the_installed_file(name: str) -> None:
    spec = load_registry().get(name).spec
    verify_checksum(spec, load_registry().get(name).path())


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_item_is_valid_by_the_reference_implementation(name: str) -> None:
    properties = load_registry().get(name).spec.item["properties"]
    MLModelProperties.model_validate({k: v for k, v in properties.items() if k.startswith("mlm:")})


@pytest.mark.parametrize("name", BUILTIN)
def test_builtin_scaling_is_that_of_the_package(name: str) -> None:
    spec = load_registry().get(name).spec
    published = json.loads(load_registry().get(name).path().with_suffix(".json").read_text())
    mean, deviation = published["data"]["dataset_statistics"]["img"]
    assert [scaling.center for scaling in spec.scaling] == mean
    assert [scaling.spread for scaling in spec.scaling] == deviation


@pytest.mark.parametrize(("level", "name"), [("L1C", BUILTIN[2]), ("L2A", BUILTIN[3])])
def test_registry_default_is_the_six_band_network(level: Any, name: str) -> None:
    assert load_registry().default(level).spec.name == name


def test_registry_default_prefers_kappamask_once_it_is_registered(
    tmp_path: Path, item: dict[str, Any]
) -> None:
    item["properties"]["mlm:name"] = "kappamask-v2-l1c"
    (tmp_path / "model.json").write_text(json.dumps(item))
    assert load_registry(tmp_path).default("L1C").spec.name == "kappamask-v2-l1c"


def test_registry_unknown_name_lists_those_that_are() -> None:
    with pytest.raises(ModelNotFoundError, match="ukis-csmask-6b-l1c"):
        load_registry().get("nonesuch")


def test_registry_reads_the_entry_points_of_other_packages(
    tmp_path: Path, item: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.json").write_text(json.dumps(item))
    package = tmp_path / "site"
    info = package / "other_models-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-models\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[kappamask.models]\nother = other_models:folder\n")
    (package / "other_models.py").write_text(f"def folder():\n    return {str(tmp_path)!r}\n")
    monkeypatch.syspath_prepend(package)
    importlib.invalidate_caches()

    registered = load_registry().get("small")

    assert registered.origin == "other-models"
    assert registered.is_installed


def test_registry_user_item_that_is_no_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("<html>")
    with pytest.raises(ModelError, match=r"broken\.json is not a model item: not valid JSON"):
        load_registry(tmp_path)


def test_spec_not_predicted_lists_absent_surface_classes(item: dict[str, Any]) -> None:
    assert parse_model_item(item).not_predicted == (MaskClass.SEMI_TRANSPARENT_CLOUD,)


def set_field(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(item: dict[str, Any]) -> None:
        *parents, last = path.split("/")
        node: Any = item
        for key in parents:
            node = node[int(key) if isinstance(node, list) else key]
        if value is KeyError:
            del node[last]
        else:
            node[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_field("properties/kappamask:resolution", 25), "kappamask:resolution must be one of"),
        (set_field("properties/kappamask:level", "L3"), "must be one of L1C, L2A, got 'L3'"),
        (set_field("properties/kappamask:tiling/stride", 40), "stride must be in 1..tile"),
        (set_field("properties/kappamask:tiling/origin", 0), "leave cells without weight"),
        (set_field("properties/kappamask:tiling/stitch", "glue"), "must be one of blend, crop"),
        (set_field("properties/mlm:input/0/bands", ["B02", "red", "B10"]), "found red"),
        (set_field("properties/mlm:input/0/input/shape", [-1, 3, 64, 64]), "input shape must be"),
        (set_field("properties/kappamask:clip", [2, 1]), "low < high"),
        (set_field("properties/kappamask:tiling", KeyError), "lacks 'kappamask:tiling'"),
        (set_field("assets/model/file:checksum", "abc"), "sha2-256 multihash"),
        (set_field("assets/model/roles", ["data"]), "one asset with role mlm:model, found 0"),
    ],
)
def test_spec_bad_field_says_which_and_what(
    item: dict[str, Any], change: Callable[[dict[str, Any]], None], message: str
) -> None:
    change(item)
    with pytest.raises(ModelError, match=message):
        parse_model_item(item)


def test_open_session_changed_file_raises(
    make_model: Callable[..., ModelSpec], tmp_path: Path
) -> None:
    spec = make_model()
    with (tmp_path / "small.onnx").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(ChecksumError, match="not the one its item names"):
        open_session(spec, "cpu")


def test_open_session_file_that_is_no_network_raises(tmp_path: Path, item: dict[str, Any]) -> None:
    path = tmp_path / "page.onnx"
    path.write_text("<html>not found</html>")
    broken = model_item(path)
    with pytest.raises(ModelError, match="cannot be opened as an ONNX network"):
        open_session(parse_model_item(broken, base=tmp_path), "cpu")


def test_open_session_other_number_of_bands_raises(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    write_network(path, 5, 3, 32, nhwc=False)
    with pytest.raises(ModelError, match=r"takes tiles of \[3, 32, 32\] by its item"):
        open_session(parse_model_item(model_item(path), base=tmp_path), "cpu")


def test_open_session_missing_file_raises(tmp_path: Path, item: dict[str, Any]) -> None:
    (tmp_path / "small.onnx").unlink()
    with pytest.raises(ModelError, match="cannot read the file of model 'small'"):
        open_session(parse_model_item(item, base=tmp_path), "cpu")


def test_open_session_missing_device_says_what_to_install(
    make_model: Callable[..., ModelSpec],
) -> None:
    pytest.importorskip("onnxruntime")
    from kappamask_udf.runtimes import available_devices

    if "cuda" in available_devices():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(DeviceError, match=r"openeo-kappamask\[gpu\]"):
        open_session(make_model(), "cuda")


@pytest.fixture
def gpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that says it was built for CUDA, on a machine where CUDA cannot start."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)


@pytest.mark.usefixtures("gpu_build")
def test_open_session_device_that_cannot_start_is_an_error(
    make_model: Callable[..., ModelSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeviceError, match="could not start CUDAExecutionProvider"):
        open_session(make_model(), "cuda")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("gpu_build")
def test_open_session_auto_says_that_it_took_the_cpu(
    make_model: Callable[..., ModelSpec], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert open_session(make_model(), "auto").device == "cpu"
    assert "could not start CUDAExecutionProvider" in caplog.text
    assert "device auto: took cpu" in caplog.text


def test_open_session_two_items_of_one_file_keep_their_own_description(
    make_model: Callable[..., ModelSpec],
) -> None:
    first, second = make_model(resolution=10), make_model(resolution=30)
    assert open_session(first, "cpu", 1).spec.resolution_m == 10
    assert open_session(second, "cpu", 1).spec.resolution_m == 30


def test_locate_package_that_is_not_installed_names_the_extra(item: dict[str, Any]) -> None:
    item["assets"]["model"]["href"] = "pkg:pypi/no-such-package@1.0#model.onnx"
    with pytest.raises(MissingExtraError, match=r"openeo-kappamask\[cpu\]"):
        open_session(parse_model_item(item), "cpu")


def test_locate_package_of_another_version_raises(item: dict[str, Any]) -> None:
    item["assets"]["model"]["href"] = "pkg:pypi/ukis-csmask@0.1#model.onnx"
    with pytest.raises(ModelError, match=r"needs ukis-csmask 0\.1, found 1\.0\.0"):
        open_session(parse_model_item(item), "cpu")
