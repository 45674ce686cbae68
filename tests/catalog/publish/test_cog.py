"""COGs as other programs see them, and what is left when writing fails."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from kappamask_catalog.publish.cog import (
    CogProfile,
    CogWriter,
    build_mask_profile,
    build_probability_profile,
)
from kappamask_catalog.publish.planes import halve_average, halve_mode
from kappamask_catalog.publish.tiff import (
    IncompleteTiffError,
    check_complete,
    read_tiff_images,
)
from kappamask_udf.classes import MaskClass
from kappamask_udf.errors import OutputError

TRANSFORM = Affine(10, 0, 600000, 0, -10, 5100000)
EPSG = 32633


@pytest.fixture(scope="module")
def classes() -> np.ndarray:
    """(1100, 700) class ids in patches, no symmetry, all classes."""
    coarse = np.random.default_rng(7).integers(0, 6, (110, 70), np.uint8)
    return np.kron(coarse, np.ones((10, 10), np.uint8))


def write(path: Path, profile: CogProfile, pixels: np.ndarray, rows: int = 137) -> Path:
    starts = list(range(0, profile.shape_yx[0], rows))
    with CogWriter(path, profile) as writer:
        for row0 in (*starts[1::2], *starts[0::2]):
            writer.write(row0, pixels[..., row0 : row0 + rows, :])
        return writer.finish()


@pytest.fixture(scope="module")
def mask(classes: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mask")
    profile = build_mask_profile(classes.shape, TRANSFORM, EPSG, {"TIFFTAG_SOFTWARE": "test 1"})
    return write(folder / "mask.tif", profile, classes)


@pytest.fixture(scope="module")
def planes() -> np.ndarray:
    """(6, 700, 600) float32 probabilities, band 3 empty."""
    planes = np.random.default_rng(8).random((6, 700, 600), np.float32)
    planes[3] = 0
    return planes / planes.sum(axis=0)


@pytest.fixture(scope="module")
def probabilities(planes: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probabilities")
    profile = build_probability_profile(planes.shape[1:], TRANSFORM, EPSG)
    return write(folder / "probabilities.tif", profile, planes)


def test_mask_pixels_and_grid_are_those_written(mask: Path, classes: np.ndarray) -> None:
    with rasterio.open(mask) as dataset:
        assert np.array_equal(dataset.read(1), classes)
        assert dataset.transform == TRANSFORM
        assert dataset.crs.to_epsg() == EPSG
        assert (dataset.dtypes, dataset.nodata) == (("uint8",), 0)


def test_mask_is_tiled_compressed_and_marked_as_cog(mask: Path) -> None:
    with rasterio.open(mask) as dataset:
        assert dataset.block_shapes == [(512, 512)]
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
    assert structure["LAYOUT"] == "COG"
    assert structure["COMPRESSION"] == "DEFLATE"


def test_mask_has_colors_and_names_of_classes_in_the_file(mask: Path) -> None:
    assert sorted(path.name for path in mask.parent.iterdir()) == ["mask.tif"]
    with rasterio.open(mask) as dataset:
        assert dataset.colorinterp == (ColorInterp.palette,)
        colors, names, tags = dataset.colormap(1), dataset.tags(1), dataset.tags()
    for one in MaskClass:
        assert colors[one] == one.style.rgba
        assert names[f"CLASS_{int(one)}"] == one.stac_name
        assert f"{int(one)} {one.style.title}" in tags["TIFFTAG_IMAGEDESCRIPTION"]
    assert tags["TIFFTAG_SOFTWARE"] == "test 1"


def test_mask_overviews_are_modes_of_each_other(mask: Path, classes: np.ndarray) -> None:
    expected = classes
    for level in range(2):
        expected = halve_mode(expected)
        with rasterio.open(mask, overview_level=level) as dataset:
            assert np.array_equal(dataset.read(1), expected)
    with rasterio.open(mask) as dataset:
        assert dataset.overviews(1) == [2, 4]


@pytest.mark.parametrize("name", ["mask", "probabilities"])
def test_cog_has_directories_first_and_small_overviews_before_large(
    name: str, request: pytest.FixtureRequest
) -> None:
    images = read_tiff_images(request.getfixturevalue(name))
    assert [image.is_overview for image in images] == [False] + [True] * (len(images) - 1)
    directories = [image.directory_offset for image in images]
    first_tiles = [min(image.tile_offsets) for image in images]
    assert directories == sorted(directories)
    assert directories[-1] < min(first_tiles)
    assert first_tiles == sorted(first_tiles, reverse=True)


def test_probabilities_bands_are_named_and_exact(probabilities: Path, planes: np.ndarray) -> None:
    with rasterio.open(probabilities) as dataset:
        assert np.array_equal(dataset.read(), planes)
        assert dataset.descriptions == tuple(one.stac_name for one in MaskClass)
        structure = dataset.tags(ns="IMAGE_STRUCTURE")
        assert dataset.nodata is None
    assert (structure["COMPRESSION"], structure["PREDICTOR"]) == ("ZSTD", "3")


def test_probabilities_overviews_are_averages(probabilities: Path, planes: np.ndarray) -> None:
    with rasterio.open(probabilities, overview_level=0) as dataset:
        for band, values in enumerate(dataset.read()):
            assert np.array_equal(values, halve_average(planes[band]))


@pytest.mark.parametrize("shape_yx", [(1, 1), (3, 511), (513, 2)])
def test_writer_small_and_odd_sizes_are_kept(tmp_path: Path, shape_yx: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 6, shape_yx, np.uint8)
    path = write(tmp_path / "m.tif", build_mask_profile(shape_yx, TRANSFORM, EPSG), pixels)
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(1), pixels)


def test_writer_all_undefined_is_a_whole_file(tmp_path: Path) -> None:
    pixels = np.zeros((600, 600), np.uint8)
    path = write(tmp_path / "m.tif", build_mask_profile((600, 600), TRANSFORM, EPSG), pixels)
    check_complete(path, images=2)
    with rasterio.open(path) as dataset:
        assert not dataset.read(1).any()


def small_profile() -> CogProfile:
    return build_mask_profile((20, 30), TRANSFORM, EPSG)


def test_writer_exception_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with CogWriter(tmp_path / "m.tif", small_profile()) as writer:
            writer.write(0, np.ones((10, 30), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_writer_without_finish_leaves_nothing(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "m.tif", small_profile()) as writer:
        writer.write(0, np.ones((20, 30), np.uint8))
        assert not (tmp_path / "m.tif").exists()
    assert list(tmp_path.iterdir()) == []


def test_writer_finish_with_missing_rows_is_refused(tmp_path: Path) -> None:
    with CogWriter(tmp_path / "m.tif", small_profile()) as writer:
        writer.write(5, np.ones((10, 30), np.uint8))
        with pytest.raises(ValueError, match="10 of 20 rows were not written"):
            writer.finish()


@pytest.mark.parametrize(
    ("row0", "pixels", "message"),
    [
        (0, np.ones((5, 29), np.uint8), "30 columns"),
        (0, np.ones((2, 5, 30), np.uint8), "1 band"),
        (0, np.ones((5, 30), np.float32), "must be uint8"),
        (16, np.ones((5, 30), np.uint8), "not within"),
        (9, np.ones((5, 30), np.uint8), "written before"),
    ],
)
def test_writer_strip_that_does_not_fit_is_refused(
    tmp_path: Path, row0: int, pixels: np.ndarray, message: str
) -> None:
    with CogWriter(tmp_path / "m.tif", small_profile()) as writer:
        writer.write(10, np.ones((4, 30), np.uint8))
        with pytest.raises(ValueError, match=message):
            writer.write(row0, pixels)


def test_writer_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "m.tif"
    with pytest.raises(OutputError, match="absent"), CogWriter(path, small_profile()):
        pass


def test_writer_denied_folder_says_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*arguments: object, **keywords: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", denied)
    with (
        pytest.raises(OutputError, match="no permission"),
        CogWriter(tmp_path / "m", small_profile()),
    ):
        pass


def test_writer_too_little_space_is_told_before_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match=r"m\.tif: the disk is full") as raised:
        CogWriter(tmp_path / "m.tif", small_profile()).__enter__()
    assert "are free" in str(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of a few megabytes; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    size = f"size={request.param}k"
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True)


# 2048 x 2048 random classes need 4.2 MB plain, 1.4 MB of overviews and 1.7 MB as a COG: the disk
# fills up while strips are written, in the overviews, in the first and in the last part of the COG.
@pytest.mark.parametrize("tiny_disk", [4300, 4800, 5500, 5700, 6500, 6700], indirect=True)
def test_writer_full_disk_is_an_error_and_leaves_nothing(tiny_disk: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 5, (2048, 2048), np.uint8)
    profile = build_mask_profile(pixels.shape, TRANSFORM, EPSG)
    with pytest.raises(OutputError, match=r"the disk is full, it needs .* are free") as raised:
        write(tiny_disk / "mask.tif", profile, pixels)
    assert "\n" not in str(raised.value)
    assert list(tiny_disk.iterdir()) == []


def test_writer_file_size_limit_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from affine import Affine
from kappamask_catalog.publish.cog import CogWriter, build_mask_profile
from kappamask_udf.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
pixels = np.ones((600, 600), np.uint8)
try:
    profile = build_mask_profile((600, 600), Affine(10, 0, 0, 0, -10, 0), 32633)
    with CogWriter(Path(sys.argv[1]), profile) as w:
        w.write(0, pixels)
        w.finish()
except OutputError as error:
    sys.exit(str(error))
"""
    path = tmp_path / "mask.tif"
    outcome = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert f"cannot write {path}" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.001, 0.0])
def test_check_complete_file_that_was_cut_is_refused(
    tmp_path: Path, mask: Path, kept: float
) -> None:
    whole = mask.read_bytes()
    cut = tmp_path / "cut.tif"
    cut.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(IncompleteTiffError, match="incomplete"):
        check_complete(cut, images=3)


def test_check_complete_missing_overview_is_refused(mask: Path) -> None:
    check_complete(mask, images=3)
    with pytest.raises(IncompleteTiffError, match="3 of 4 images"):
        check_complete(mask, images=4)
