"""`kappamask models optimize` on real networks, and what it refuses."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from kappamask_backend.model_agreement import MaskAgreement
from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import DEMO_DATES, DemoScene, ProductPaths, write_product
from kappamask_udf.classes import MaskClass
from kappamask_udf.models import load_registry

from .conftest import SIZE_PX, Run

MODEL = "ukis-csmask-4b-l1c"


@pytest.fixture(scope="session")
def other_product(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    """Another day than `product`."""
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[1])
    return write_product(scene, tmp_path_factory.mktemp("other"))


def registered(tmp_path: Path) -> list[str]:
    folder = tmp_path / "models"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_half_floats_agree_and_are_registered_with_the_measure(
    run: Run, product: ProductPaths, tmp_path: Path
) -> None:
    answer = run(
        "models", "optimize", MODEL, "--precision", "fp16",
        "--measure", product.safe, "--truth", product.truth, "--json",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.stderr
    told = json.loads(answer.stdout)
    item = json.loads((tmp_path / "models" / f"{MODEL}-fp16.json").read_text())
    agreement = item["properties"]["kappamask:agreement"]
    assert told["agreement"] == agreement
    assert agreement["argmax"] > 0.98
    assert agreement["pixels"] > 0.9 * SIZE_PX**2
    assert len(agreement["measured_on"]) == 1
    assert agreement["calibrated_on"] == []
    assert set(agreement["truth_dice"]) == {
        "clear",
        "cloud_shadow",
        "semi_transparent_cloud",
        "cloud",
    }
    assert agreement["cpu"]
    assert agreement["runtime"].startswith("onnxruntime ")
    assert not agreement["forced"]
    assert item["properties"]["kappamask:precision"] == "fp16"
    original = load_registry().get(MODEL).spec
    assert item["properties"]["kappamask:variant_of"]["sha256"] == original.sha256
    # The published files hold half floats already, with casts around them.
    assert told["size_bytes"] < (original.size_bytes or 0)
    assert validate_item(item) == []
    masked = run("mask", product.safe, "--model", f"{MODEL}-fp16", "-o", "mask", "-q")
    assert masked.exit_code == 0, masked.stderr
    with rasterio.open("mask/mask.tif") as mask:
        assert len(np.unique(mask.read(1))) > 1


def test_int8_is_calibrated_and_measured_on_different_products(
    run: Run, product: ProductPaths, other_product: ProductPaths, tmp_path: Path
) -> None:
    answer = run(
        "models", "optimize", MODEL, "--precision", "int8", "--as", "quick", "--tiles", "2",
        "--calibrate", product.safe, "--measure", other_product.safe, "--force",
    )  # fmt: skip
    assert answer.exit_code == 0, answer.stderr
    assert "registered as quick" in answer.stdout
    item = json.loads((tmp_path / "models" / "quick.json").read_text())
    agreement = item["properties"]["kappamask:agreement"]
    assert agreement["calibrated_on"] != agreement["measured_on"]
    assert agreement["forced"]
    assert "truth_dice" not in agreement
    assert item["properties"]["kappamask:precision"] == "int8"
    assert "int8" in run("models", "show", "quick").stdout
    assert run("models", "verify", "quick").exit_code == 0


def test_variant_that_agrees_too_little_is_refused(
    run: Run, weights_l1c: Path, product: ProductPaths, other_product: ProductPaths, tmp_path: Path
) -> None:
    """Random weights decide between classes by a hair: 8 bits change most of them."""
    assert run("models", "import", weights_l1c, "--as", "random", "-q").exit_code == 0
    before = registered(tmp_path)
    answer = run(
        "models", "optimize", "random", "--precision", "int8", "--tiles", "1",
        "--calibrate", product.safe, "--measure", other_product.safe,
    )  # fmt: skip
    assert answer.exit_code == 1
    assert "the int8 variant of 'random' agrees too little" in answer.error
    assert "--force registers it all the same" in answer.error
    assert registered(tmp_path) == before


def test_classes_that_stand_for_nothing_count_as_well() -> None:
    """A network may answer `undefined` or `missing` where there is data: that is a difference."""
    agreement = MaskAgreement()
    model = np.array([[1, 1, 5, 0, 4]], np.uint8)
    variant = np.array([[1, 5, 5, 1, 4]], np.uint8)
    agreement.count(variant, model)
    assert agreement.n_pixels == 4
    assert agreement.argmax == 0.5
    truth = np.array([[1, 1, 5, 0, 4]], np.uint8)
    agreement.count_truth(variant, model, truth)
    assert agreement.model.sum() == agreement.variant.sum() == 3
    assert agreement.dice_of_truth()[MaskClass.CLEAR] == (1.0, 2 / 3)


def test_same_product_for_both_is_refused(run: Run, product: ProductPaths, tmp_path: Path) -> None:
    manifest = product.safe / "MTD_MSIL1C.xml"
    for measured in (product.safe, manifest):
        answer = run(
            "models", "optimize", MODEL, "--precision", "int8",
            "--calibrate", product.safe, "--measure", measured,
        )  # fmt: skip
        assert answer.exit_code == 1
        assert "given to calibrate and to measure" in answer.error
    assert registered(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-model", "--precision", "int8"), "no model is called 'no-such-model'"),
        ((MODEL, "--precision", "int8", "--as", MODEL), "is a model of built-in already"),
        ((MODEL, "--precision", "fp16", "--truth", "t.tif"), "1 --truth for 0 --measure"),
        ((MODEL, "--precision", "fp16", "--measure", "none.SAFE"), "none.SAFE does not exist"),
    ],
)
def test_mistakes_are_told_at_once(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    answer = run("models", "optimize", *arguments)
    assert answer.exit_code == 1
    assert message in answer.error
    assert registered(tmp_path) == []


def test_products_of_another_level_are_refused(run: Run, product_l2a: ProductPaths) -> None:
    answer = run("models", "optimize", MODEL, "--precision", "fp16", "--measure", product_l2a.safe)
    assert "made for L1C products, this one is L2A" in answer.error


def test_truth_of_another_size_is_refused(run: Run, product: ProductPaths, tmp_path: Path) -> None:
    truth = tmp_path / "small.tif"
    with rasterio.open(
        truth, "w", driver="GTiff", width=10, height=10, count=1, dtype="uint8", crs="EPSG:32618",
        transform=rasterio.transform.from_origin(0, 100, 10, 10),
    ) as file:  # fmt: skip
        file.write(np.ones((1, 10, 10), np.uint8))
    answer = run(
        "models", "optimize", MODEL, "--precision", "fp16",
        "--measure", product.safe, "--truth", truth,
    )  # fmt: skip
    assert "has (10, 10) pixels" in answer.error


def test_variants_are_not_made_of_variants(run: Run, product: ProductPaths) -> None:
    assert run(
        "models", "optimize", MODEL, "--precision", "fp16", "--as", "half", "--force",
        "--measure", product.safe,
    ).exit_code == 0  # fmt: skip
    answer = run("models", "optimize", "half", "--precision", "int8")
    assert "model 'half' is fp16 already" in answer.error


def test_missing_onnx_names_the_extra(
    run: Run, product: ProductPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    answer = run("models", "optimize", MODEL, "--precision", "fp16", "--measure", product.safe)
    assert "install 'openeo-kappamask[cpu,import]'" in answer.error
