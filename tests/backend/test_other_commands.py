"""`kappamask models`, `demo` and `benchmark` as a user types them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import ProductPaths
from kappamask_udf.models import load_registry

from .conftest import Run

NAME = "ukis-csmask-6b-l1c"


def test_models_list_names_all_and_their_defaults(run: Run) -> None:
    listed = json.loads(run("models", "list", "--json").stdout)
    assert [one["name"] for one in listed] == [one.spec.name for one in load_registry()]
    assert {one["name"] for one in listed if one["is_default"]} == {NAME, "ukis-csmask-6b-l2a"}
    assert all(one["is_installed"] for one in listed)
    table = run("models", "list").stdout
    assert all(one["name"] in table for one in listed)


def test_models_show_json_is_the_valid_item(run: Run) -> None:
    item = json.loads(run("models", "show", NAME, "--json").stdout)
    assert validate_item(item) == []
    assert item["properties"]["mlm:name"] == NAME


def test_models_show_says_what_is_not_predicted(run: Run) -> None:
    shown = run("models", "show", NAME).stdout
    assert "semi-transparent cloud" in shown.split("not predicted")[1].splitlines()[0]


def test_models_verify_runs_all(run: Run) -> None:
    outcome = run("models", "verify")
    assert outcome.exit_code == 0, outcome.stdout
    assert outcome.stdout.count(": ok") == 4


def copy_with_file(folder: Path, content: bytes) -> Path:
    """A user's model item that names another file than the one beside it."""
    item = json.loads(json.dumps(load_registry().get(NAME).spec.item))
    item["properties"]["mlm:name"] = "mine"
    item["assets"]["model"]["href"] = "mine.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.onnx").write_bytes(content)
    path = folder / "mine.json"
    path.write_text(json.dumps(item))
    return path


def test_models_verify_changed_file_fails(run: Run, tmp_path: Path) -> None:
    copy_with_file(tmp_path / "models", b"something else")
    outcome = run("models", "verify", "mine")
    assert outcome.exit_code == 1
    assert "not the one its item names" in outcome.stdout


def test_mask_takes_the_path_of_a_model_item(
    run: Run, product: ProductPaths, tmp_path: Path
) -> None:
    content = load_registry().get(NAME).path().read_bytes()
    path = copy_with_file(tmp_path / "elsewhere", content)
    outcome = run("mask", product.safe, "--model", path, "-o", "out", "-q", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["model"] == "mine"


def test_demo_writes_mask_picture_and_table(run: Run) -> None:
    outcome = run("demo", "--size", "306", "-o", "demo")
    assert outcome.exit_code == 0, outcome.stderr
    assert "not predicted" in outcome.stdout
    assert "cloud + semi-transparent" in outcome.stdout
    assert "the default for L1C" in outcome.stderr
    assert Path("demo/mask/mask.tif").is_file()
    with Image.open("demo/comparison.png") as picture:
        assert picture.width > 2 * picture.height


def test_demo_finds_the_clouds(run: Run) -> None:
    outcome = run("demo", "--size", "612", "-o", "demo", "-q", "--json")
    dice = json.loads(outcome.stdout)["dice"]
    assert dice["cloud + semi-transparent"] > 0.9
    assert dice["semi-transparent cloud"] is None


def test_demo_twice_needs_overwrite(run: Run) -> None:
    assert run("demo", "--size", "120", "-q").exit_code == 0
    outcome = run("demo", "--size", "120", "-q")
    assert outcome.exit_code == 1
    assert "overwrite" in outcome.error
    assert run("demo", "--size", "120", "-q", "--overwrite").exit_code == 0


def test_benchmark_measures_every_stage(run: Run, product: ProductPaths) -> None:
    outcome = run("benchmark", "--product", product.safe, "--probabilities", "-q", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert set(stages) == {"decoding", "inference", "product", "writing", "part of it"}
    assert all(stage["seconds"] > 0 for stage in stages.values())
    assert all(stage["peak_memory_bytes"] > 5e7 for stage in stages.values())
    assert stages["inference"]["facts"]["tiles"] == 1
    assert set(stages["writing"]["facts"]) == {"mask.tif", "probabilities.tif"}
    parts = sum(stages[name]["seconds"] for name in ("decoding", "inference", "writing"))
    assert report["time_ratio"] == pytest.approx(stages["product"]["seconds"] / parts)


def test_benchmark_make_product_writes_any_size(run: Run) -> None:
    arguments = ("--size", "121", "--rows", "60", "--baseline", "02.09", "--date", "2026-06-06")
    outcome = run("benchmark", "make-product", "made", *arguments, "-q")
    assert outcome.exit_code == 0, outcome.stderr
    safe = Path(outcome.stdout.splitlines()[0])
    assert safe.name.startswith("S2B_MSIL1C_20260606")
    assert run("mask", safe, "-o", "out", "-q").exit_code == 0


def test_models_verify_missing_package_names_the_extra(run: Run, tmp_path: Path) -> None:
    path = copy_with_file(tmp_path / "models", b"")
    item = json.loads(path.read_text())
    item["assets"]["model"]["href"] = "pkg:pypi/no-such-package@1.0#model.onnx"
    path.write_text(json.dumps(item))
    outcome = run("models", "verify", "mine")
    assert outcome.exit_code == 1
    assert "openeo-kappamask[cpu]" in outcome.stdout.replace("\n", "")
