import hashlib
import warnings
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from kappamask_catalog.scene import DemoScene, write_product, write_safe_zip, write_truth
from kappamask_udf.classes import CLASS_STYLES, MaskClass
from kappamask_udf.errors import OutputError, OutputExistsError, ProductError
from kappamask_udf.pixels import PixelWindow

from .conftest import Written

TINY = DemoScene(size_px=12)


def test_product_name_follows_the_naming_convention(tmp_path: Path) -> None:
    scene = DemoScene(size_px=12, date=date(2026, 6, 1))
    paths = write_product(scene, tmp_path, bands=["B10"])
    assert paths.safe.name == "S2A_MSIL1C_20260601T155901_N0511_R097_T18SVG_20260601T193015.SAFE"
    assert paths.safe.is_dir()


def test_manifest_lists_every_file_with_its_size_and_checksum(product: Written) -> None:
    document = product.xml("manifest.safe")
    listed = {}
    for stream in document.iter("byteStream"):
        name = stream.find("fileLocation").get("href").removeprefix("./")
        checksum = stream.find("checksum")
        listed[name] = (int(stream.get("size")), checksum.get("checksumName"), checksum.text)
    algorithms = {"SHA3-256": hashlib.sha3_256, "MD5": hashlib.md5}
    found = {}
    for path in product.safe.rglob("*"):
        name = path.relative_to(product.safe).as_posix()
        if path.is_file() and name != "manifest.safe":
            content = path.read_bytes()
            algorithm = listed[name][1]
            digest = algorithms[algorithm](content).hexdigest()
            found[name] = (len(content), algorithm, digest)
    assert found == listed


def test_manifest_points_to_product_tile_datastrip_and_inspire(product: Written) -> None:
    level = f"S2_Level-{product.level[1:]}"
    objects = {
        element.get("ID"): element.find(".//fileLocation").get("href")
        for element in product.xml("manifest.safe").iter("dataObject")
    }
    for identifier, ending in (
        (f"{level}_Product_Metadata", f"MTD_MSI{product.level}.xml"),
        (f"{level}_Tile1_Metadata", "MTD_TL.xml"),
        (f"{level}_Datastrip1_Metadata", "MTD_DS.xml"),
        ("INSPIRE_Metadata", "INSPIRE.xml"),
    ):
        assert objects[identifier].endswith(ending)


def test_product_says_that_it_is_simulated(product: Written) -> None:
    assert "Simulated" in (product.safe / "INSPIRE.xml").read_text()


def test_truth_file_holds_classes_names_colours_and_place(product: Written) -> None:
    rows, cols = product.scene.shape_yx
    strip = product.scene.strip(PixelWindow(0, rows, 0, cols), ())
    with rasterio.open(product.paths.truth) as dataset:
        np.testing.assert_array_equal(dataset.read(1), strip.truth[:rows, :cols])
        assert dataset.colormap(1)[MaskClass.CLOUD] == CLASS_STYLES[MaskClass.CLOUD].rgba
        assert dataset.tags()["CLASS_2"] == "cloud_shadow"
        assert (dataset.transform.c, dataset.transform.f) == product.scene.corner_xy


@pytest.mark.parametrize("size_px", [1, 1021])
def test_product_of_odd_size_has_rounded_up_grids(tmp_path: Path, size_px: int) -> None:
    paths = write_product(DemoScene(size_px=size_px), tmp_path, bands=["B04", "B11", "B10"])
    for band, resolution in (("B04", 10), ("B11", 20), ("B10", 60)):
        (path,) = paths.safe.glob(f"GRANULE/*/IMG_DATA/*_{band}.jp2")
        with warnings.catch_warnings(), rasterio.open(path) as dataset:
            side = -(-size_px * 10 // resolution)
            assert dataset.shape == (side, side)
            assert dataset.read().all()


def test_product_without_any_data_is_all_missing(tmp_path: Path) -> None:
    scene = DemoScene(size_px=12, missing_share=1.0)
    paths = write_product(scene, tmp_path, bands=["B04"])
    (path,) = paths.safe.glob("GRANULE/*/IMG_DATA/*_B04.jp2")
    with rasterio.open(path) as image, rasterio.open(paths.truth) as truth:
        assert not image.read().any()
        assert (truth.read() == MaskClass.MISSING).all()


def test_bands_chosen_are_the_only_images(tmp_path: Path) -> None:
    paths = write_product(TINY, tmp_path, bands=["B11", "B02"])
    names = sorted(path.stem[-3:] for path in paths.safe.rglob("IMG_DATA/*.jp2"))
    assert names == ["B02", "B11"]


def test_product_written_twice_is_identical_to_the_byte(tmp_path: Path) -> None:
    first, second = (write_product(TINY, tmp_path / name, bands=["B02"]) for name in "ab")
    files = [path.relative_to(first.safe) for path in first.safe.rglob("*") if path.is_file()]
    assert len(files) > 5
    for name in files:
        assert (first.safe / name).read_bytes() == (second.safe / name).read_bytes(), name


def test_product_that_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    paths = write_product(TINY, tmp_path, bands=["B10"])
    with pytest.raises(OutputExistsError, match="is there already"):
        write_product(TINY, tmp_path, bands=["B10"])
    marker = paths.safe / "marker"
    marker.touch()
    write_product(TINY, tmp_path, bands=["B10"], overwrite=True)
    assert not marker.exists()


def test_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(what: str, share: float) -> None:
        if what.startswith("encoding"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_product(TINY, tmp_path, bands=["B10"], progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_progress_grows_to_1(tmp_path: Path) -> None:
    shares: list[float] = []
    write_product(TINY, tmp_path, progress=lambda what, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(OutputError, match="cannot write to"):
        write_product(TINY, blocker / "below", bands=["B10"])


@pytest.mark.parametrize(
    "options", [{"baseline": "5.11"}, {"level": "L3"}, {"bands": ["B13"]}], ids=str
)
def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ProductError):
        write_product(TINY, tmp_path, **options)


def test_zip_has_the_folder_at_its_top_and_all_files(tmp_path: Path, new_l1c: Written) -> None:
    target = write_safe_zip(new_l1c.safe, tmp_path / f"{new_l1c.safe.name}.zip")
    with zipfile.ZipFile(target) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
        assert archive.testzip() is None
    base = new_l1c.safe.parent
    assert names == {
        path.relative_to(base).as_posix() for path in new_l1c.safe.rglob("*") if path.is_file()
    }


def test_truth_alone_equals_the_truth_of_the_product(tmp_path: Path, new_l1c: Written) -> None:
    path = write_truth(new_l1c.scene, tmp_path / "truth.tif")
    with rasterio.open(path) as alone, rasterio.open(new_l1c.paths.truth) as beside:
        np.testing.assert_array_equal(alone.read(), beside.read())
