"""`kappamask mask` as a user types it: results, options, and what goes wrong."""

import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform_bounds

from kappamask_catalog.publish.validation import validate_item
from kappamask_catalog.scene import DemoScene, ProductPaths, write_product, write_safe_zip
from kappamask_catalog.sources import open_product
from kappamask_udf.finishing import dilate, mode_of_blocks

from .conftest import SIZE_PX, Run


def read_json(text: str) -> dict[str, object]:
    document: dict[str, object] = json.loads(text)
    return document


@pytest.fixture(scope="session")
def whole(product: ProductPaths, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mask of the whole product with probabilities."""
    from typer.testing import CliRunner

    from kappamask_backend.cli import app

    folder = tmp_path_factory.mktemp("whole") / "mask"
    arguments = ["mask", str(product.safe), "-o", str(folder), "--probabilities", "--json", "-q"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return folder


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return np.asarray(dataset.read().squeeze())


def bounds_wgs84(product: ProductPaths, pixels: tuple[int, int, int, int]) -> str:
    """`west,south,east,north` strictly inside the given 10 m rows and columns."""
    row0, row1, col0, col1 = pixels
    with rasterio.open(product.truth) as truth:
        west, north = truth.transform @ (col0 + 0.9, row0 + 0.9)
        east, south = truth.transform @ (col1 - 0.9, row1 - 0.9)
        bounds = transform_bounds(truth.crs, 4326, west, south, east, north)
    return ",".join(f"{value:.9f}" for value in bounds)


def test_mask_writes_a_valid_result(whole: Path, product: ProductPaths) -> None:
    with rasterio.open(whole / "mask.tif") as mask, rasterio.open(product.truth) as truth:
        assert mask.shape == truth.shape
        assert mask.transform == truth.transform
        assert mask.crs == truth.crs
        assert mask.dtypes == ("uint8",)
        assert mask.nodata == 0
        assert mask.colormap(1)[4] == (255, 255, 255, 255)
    (item_path,) = [p for p in whole.glob("*.json") if p.name != "model.json"]
    item = pystac.Item.from_file(str(item_path))
    assert validate_item(json.loads(item_path.read_text())) == []
    assert {"mask", "probabilities", "preview", "thumbnail"} == set(item.assets)
    for asset in item.get_assets().values():
        assert Path(asset.get_absolute_href() or "").is_file()
    assert item.properties["kappamask:model"] == "ukis-csmask-6b-l1c"
    assert item.properties["kappamask:not_predicted"] == ["semi_transparent_cloud"]
    derived = item.get_single_link("derived_from")
    assert derived is not None
    assert Path(derived.get_absolute_href() or "").resolve() == product.safe.resolve()
    with Image.open(whole / "thumbnail.png") as thumbnail:
        assert max(thumbnail.size) <= 512


def test_mask_probabilities_have_a_named_band_per_class(whole: Path) -> None:
    with rasterio.open(whole / "probabilities.tif") as dataset:
        planes = dataset.read()
        assert dataset.descriptions == (
            "undefined", "clear", "cloud_shadow", "semi_transparent_cloud", "cloud", "missing",
        )  # fmt: skip
    assert np.abs(planes.sum(axis=0) - 1).max() < 1e-5
    classes = read(whole / "mask.tif")
    second, best = np.sort(planes, axis=0)[-2:]
    assert (planes.argmax(axis=0) == classes)[best - second > 1e-6].all()


def test_mask_of_a_box_equals_the_crop(run: Run, whole: Path, product: ProductPaths) -> None:
    box = bounds_wgs84(product, (40, 110, 100, 171))
    outcome = run("mask", product.safe, "-o", "box", "--aoi", box, "--json", "-q")
    assert outcome.exit_code == 0, outcome.stderr
    part = read(Path("box/mask.tif"))
    with rasterio.open("box/mask.tif") as dataset, rasterio.open(whole / "mask.tif") as full:
        col0, row0 = (
            round(v) for v in ~full.transform @ (dataset.transform.c, dataset.transform.f)
        )
    assert (row0, col0) <= (40, 100)
    assert part.shape[0] >= 70
    assert part.shape[1] >= 71
    crop = read(whole / "mask.tif")[row0 : row0 + part.shape[0], col0 : col0 + part.shape[1]]
    assert np.array_equal(part, crop)


def test_mask_of_a_polygon_is_undefined_outside(
    run: Run, whole: Path, product: ProductPaths, tmp_path: Path
) -> None:
    west, south, east, north = map(float, bounds_wgs84(product, (40, 110, 100, 171)).split(","))
    triangle = [[[west, south], [east, south], [west, north], [west, south]]]
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": triangle}))
    outcome = run("mask", product.safe, "-o", "part", "--aoi", path, "--json", "-q")
    assert outcome.exit_code == 0, outcome.stderr
    part = read(Path("part/mask.tif"))
    assert part[0, -1] == 0
    assert part[-2, 1] != 0
    assert 0.4 < (part == 0).mean() < 0.6
    pixels = read_json(outcome.stdout)["class_pixels"]
    assert isinstance(pixels, dict)
    assert pixels["undefined"] == (part == 0).sum()


def test_mask_dilated_area_sees_clouds_beyond_its_edge(
    run: Run, whole: Path, product: ProductPaths
) -> None:
    box = bounds_wgs84(product, (60, 160, 60, 200))
    run("mask", product.safe, "-o", "box", "--aoi", box, "-q")
    outcome = run(
        "mask", product.safe, "-o", "grown", "--aoi", box, "--dilate", "150", "-q", "--json"
    )
    assert outcome.exit_code == 0, outcome.stderr
    expected = dilate(read(whole / "mask.tif"), 150)
    with rasterio.open("grown/mask.tif") as dataset, rasterio.open(whole / "mask.tif") as full:
        col0, row0 = (
            round(v) for v in ~full.transform @ (dataset.transform.c, dataset.transform.f)
        )
        grown = dataset.read(1)
    crop = expected[row0 : row0 + grown.shape[0], col0 : col0 + grown.shape[1]]
    assert np.array_equal(grown, crop)
    plain = json.loads(next(Path("box").glob("S2*.json")).read_text())["properties"]
    item = json.loads(next(Path("grown").glob("S2*.json")).read_text())["properties"]
    assert item["kappamask:dilation"] == 150
    assert item["kappamask:class_percentages"] == plain["kappamask:class_percentages"]
    assert item["eo:cloud_cover"] == plain["eo:cloud_cover"]


@pytest.mark.parametrize("resolution", [20, 60])
def test_mask_resolution_is_the_mode(
    run: Run, whole: Path, product: ProductPaths, resolution: int
) -> None:
    outcome = run("mask", product.safe, "-o", "coarse", "--resolution", str(resolution), "-q")
    assert outcome.exit_code == 0, outcome.stderr
    with rasterio.open("coarse/mask.tif") as dataset:
        assert dataset.res == (resolution, resolution)
        coarse = dataset.read(1)
    assert np.array_equal(coarse, mode_of_blocks(read(whole / "mask.tif"), resolution // 10))


@pytest.mark.parametrize("form", ["zip", "metadata", "folder with slash", "item", "metadata L2A"])
def test_mask_takes_every_form_of_a_product(
    run: Run, product: ProductPaths, product_l2a: ProductPaths, tmp_path: Path, form: str
) -> None:
    location = f"{product.safe}/"
    if form == "zip":
        location = str(write_safe_zip(product.safe, tmp_path / "product.SAFE.zip"))
    elif form == "metadata":
        location = str(product.safe / "MTD_MSIL1C.xml")
    elif form == "metadata L2A":
        location = str(product_l2a.safe / "MTD_MSIL2A.xml")
    elif form == "item":
        location = str(tmp_path / "item.json")
        with open_product(str(product.safe)) as opened:
            opened.item.save_object(include_self_link=False, dest_href=location)
    outcome = run("mask", location, "-o", "out", "-q", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    model = read_json(outcome.stdout)["model"]
    assert model == ("ukis-csmask-6b-l2a" if "L2A" in form else "ukis-csmask-6b-l1c")
    assert read(Path("out/mask.tif")).shape == (SIZE_PX, SIZE_PX)


def test_mask_offset_of_the_baseline_makes_no_difference(
    run: Run, whole: Path, tmp_path: Path
) -> None:
    old = write_product(DemoScene(size_px=SIZE_PX), tmp_path, baseline="02.09")
    assert run("mask", old.safe, "-o", "old", "-q").exit_code == 0
    same = read(Path("old/mask.tif")) == read(whole / "mask.tif")
    assert same.mean() > 0.999


def test_mask_default_folder_is_named_like_the_item(run: Run, product: ProductPaths) -> None:
    outcome = run("mask", product.safe, "--model", "ukis-csmask-4b-l1c", "-q", "--json")
    folder = Path(str(read_json(outcome.stdout)["folder"]))
    assert folder.name == f"{product.safe.stem}_ukis-csmask-4b-l1c_v1.0.0"
    assert (folder / f"{folder.name}.json").is_file()
    assert folder.parent.resolve() == Path.cwd().resolve()


def test_mask_existing_result_needs_overwrite(run: Run, product: ProductPaths) -> None:
    assert run("mask", product.safe, "-o", "out", "-q").exit_code == 0
    before = Path("out/mask.tif").read_bytes()
    outcome = run("mask", product.safe, "-o", "out", "-q")
    assert outcome.exit_code == 1
    assert "--overwrite" in outcome.error
    assert Path("out/mask.tif").read_bytes() == before
    assert run("mask", product.safe, "-o", "out", "-q", "--overwrite").exit_code == 0


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def broken(product: ProductPaths, tmp_path: Path) -> Path:
    """A copy of the product, to be broken."""
    return Path(shutil.copytree(product.safe, tmp_path / product.safe.name))


def band_file(safe: Path, band: str) -> Path:
    (path,) = safe.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2")
    return path


def test_mask_missing_band_names_it(run: Run, broken: Path) -> None:
    band_file(broken, "B11").unlink()
    outcome = run("mask", broken, "-o", "out", "-q")
    assert outcome.exit_code == 1
    assert "B11" in outcome.error
    assert left_behind(Path.cwd()) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_mask_truncated_band_names_the_file(run: Run, broken: Path, share: float) -> None:
    path = band_file(broken, "B04")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    outcome = run("mask", broken, "-o", "out", "-q")
    assert outcome.exit_code == 1
    assert path.name in outcome.error
    assert left_behind(Path.cwd()) == []


def test_mask_altered_band_names_the_file(run: Run, broken: Path) -> None:
    path = band_file(broken, "B08")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 500] = bytes(500)
    path.write_bytes(content)
    outcome = run("mask", broken, "-o", "out", "-q")
    assert outcome.exit_code == 1
    assert path.name in outcome.error


def test_mask_without_granule_says_so(run: Run, broken: Path) -> None:
    shutil.rmtree(broken / "GRANULE")
    outcome = run("mask", broken, "-o", "out", "-q")
    assert outcome.exit_code == 1
    assert "granule" in outcome.error.lower()


def test_mask_l2a_product_with_l1c_model_says_which_fits(
    run: Run, product_l2a: ProductPaths
) -> None:
    outcome = run("mask", product_l2a.safe, "--model", "ukis-csmask-6b-l1c", "-q")
    assert outcome.exit_code == 1
    assert "made for L1C products, this one is L2A" in outcome.error


def test_mask_area_outside_gives_both_extents(run: Run, product: ProductPaths) -> None:
    outcome = run("mask", product.safe, "--aoi", "10,45,11,46", "-q")
    assert outcome.exit_code == 1
    assert "outside" in outcome.error
    assert left_behind(Path.cwd()) == []


def test_mask_unknown_model_lists_those_that_are(run: Run, product: ProductPaths) -> None:
    outcome = run("mask", product.safe, "--model", "nonesuch", "-q")
    assert outcome.exit_code == 1
    assert "ukis-csmask-6b-l1c" in outcome.error


def test_mask_missing_device_says_what_to_install(run: Run, product: ProductPaths) -> None:
    outcome = run("mask", product.safe, "--device", "tensorrt", "-q")
    assert outcome.exit_code == 1
    assert "openeo-kappamask[gpu]" in outcome.error


def test_mask_error_as_json_is_printed_too(run: Run, tmp_path: Path) -> None:
    outcome = run("mask", tmp_path / "nowhere.SAFE", "--json")
    assert outcome.exit_code == 1
    error = read_json(outcome.stdout)["error"]
    assert isinstance(error, dict)
    assert error["message"] in outcome.error


@pytest.mark.parametrize(
    "arguments",
    [
        ("--resolution", "30"),
        ("--dilate", "-5"),
        ("--device", "tpu"),
        ("--batch-size", "0"),
        ("--no-such-option",),
    ],
)
def test_mask_wrong_usage_is_exit_code_2(
    run: Run, product: ProductPaths, arguments: tuple[str, ...]
) -> None:
    outcome = run("mask", product.safe, *arguments)
    assert outcome.exit_code == 2


@pytest.mark.parametrize("size", [1, 2, 3, 7, 61])
def test_mask_of_a_product_of_few_pixels(run: Run, tmp_path: Path, size: int) -> None:
    tiny = write_product(DemoScene(size_px=size), tmp_path)
    outcome = run("mask", tiny.safe, "-o", "tiny", "--probabilities", "--dilate", "100", "-q")
    assert outcome.exit_code == 0, outcome.stderr
    assert read(Path("tiny/mask.tif")).size == size * size
