"""The engine against the package whose networks it runs, `ukis_csmask.CSmask`.

On a real Sentinel-2 patch where the shared reference folder is there, on the embedded scene
always. Classes may differ only where the two best probabilities are a tie below 1e-4: CSmask
works in float64 in places and pads its tiles differently beyond the image.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ukis_csmask.mask import CSmask

from kappamask_catalog.scene import DEMO_DATES, DemoScene, write_product
from kappamask_catalog.sources import open_product
from kappamask_udf.bands import BANDS
from kappamask_udf.classes import MaskClass
from kappamask_udf.cutting import cut_tiles
from kappamask_udf.engine import predict_tiles
from kappamask_udf.grid import GridBlock, GridReader
from kappamask_udf.models import ModelSpec, load_registry
from kappamask_udf.pixels import Calibration
from kappamask_udf.plan import plan_window
from kappamask_udf.scaling import input_scale, scale_in_place
from kappamask_udf.session import open_session

PATCH = Path(__file__).parents[3] / "shared" / "data" / "sentinel2_patch_30m.npz"
TIE = 1e-4
COMMON_NAMES = ["blue", "green", "red", "nir", "swir16", "swir22"]
THEIRS = np.array([MaskClass.CLEAR, MaskClass.CLOUD, MaskClass.CLOUD_SHADOW], np.uint8)


def our_answer(
    reflectance: NDArray[np.float32], spec: ModelSpec
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Classes and probabilities at the centres of 30 m cells of (bands, rows, cols) reflectance."""
    values = reflectance.copy()
    for index in range(len(values)):
        scale_in_place(values[index], input_scale(spec, index, Calibration(1)))
    rows, cols = values.shape[1:]
    plan = plan_window(spec, (rows * 3, cols * 3), None)
    strips = list(
        predict_tiles(
            cut_tiles(iter([GridBlock(0, values, None, None)]), plan, spec),
            plan,
            open_session(spec, "cpu"),
            with_probabilities=True,
        )
    )
    classes = np.concatenate([strip.classes for strip in strips])
    planes = [strip.probabilities for strip in strips if strip.probabilities is not None]
    return classes[1::3, 1::3], np.concatenate(planes, axis=1)[:, 1::3, 1::3]


def assert_equal_but_for_ties(reflectance: NDArray[np.float32], spec: ModelSpec) -> None:
    classes, probabilities = our_answer(reflectance, spec)
    names = COMMON_NAMES[: len(spec.bands)]
    image = np.ascontiguousarray(np.moveaxis(reflectance, 0, -1))
    theirs = THEIRS[CSmask(image, names, spec.level.lower()).csm[:, :, 0]]
    second, best = np.sort(probabilities, axis=0)[-2:]
    is_different = classes != theirs
    assert (best - second)[is_different].max(initial=0) < TIE
    assert is_different.mean() < 1e-3
    assert len(np.unique(theirs)) == 3, "the scene must have clear ground, cloud and shadow"


@pytest.mark.skipif(not PATCH.exists(), reason="the shared reference folder is not there")
@pytest.mark.parametrize("bands", [4, 6])
def test_classes_on_a_real_patch_equal_those_of_csmask(bands: int) -> None:
    with np.load(PATCH) as arrays:
        reflectance = np.moveaxis(arrays["img"], -1, 0)[:bands]
    spec = load_registry().get(f"ukis-csmask-{bands}b-l1c").spec
    assert_equal_but_for_ties(np.ascontiguousarray(reflectance), spec)


@pytest.mark.parametrize("level", ["l1c", "l2a"])
def test_classes_on_the_embedded_scene_equal_those_of_csmask(tmp_path: Path, level: str) -> None:
    scene = DemoScene(size_px=1020, date=DEMO_DATES[0])
    spec = load_registry().get(f"ukis-csmask-6b-{level}").spec
    planes = []
    for band in spec.bands:
        step = BANDS[band].resolution_m // 10
        strips = [strip.reflectance[band] for strip in scene.strips(bands=[band])]
        fine = np.concatenate(strips).repeat(step, axis=0).repeat(step, axis=1)[:1020, :1020]
        planes.append(fine.reshape(340, 3, 340, 3).mean(axis=(1, 3)))
    assert_equal_but_for_ties(np.stack(planes).astype(np.float32), spec)


def test_network_input_of_a_product_is_its_reflectance_at_30_m(tmp_path: Path) -> None:
    """From JP2 with the offset of baseline 05.11 to what the network sees."""
    scene = DemoScene(size_px=306, date=DEMO_DATES[1])
    paths = write_product(scene, tmp_path)
    spec = load_registry().get("ukis-csmask-6b-l1c").spec
    with open_product(str(paths.safe)) as product:
        cells = plan_window(spec, product.shape_yx, None).cells
        blocks = list(GridReader(product, spec, cells, threads=2).blocks())
    values = np.concatenate([block.values for block in blocks], axis=1)
    for index, band in enumerate(spec.bands):
        step = BANDS[band].resolution_m // 10
        strips = [strip.reflectance[band] for strip in scene.strips(bands=[band])]
        fine = np.concatenate(strips).repeat(step, axis=0).repeat(step, axis=1)[:306, :306]
        expected = fine.reshape(102, 3, 102, 3).mean(axis=(1, 3))
        scaling = spec.scaling[index]
        reflectance = values[index] * scaling.spread + scaling.center
        # A digital number is 1e-4; the mean of nine rounded ones is off by half of that at most.
        assert np.abs(reflectance - np.maximum(expected, 1e-4)).max() < 0.6e-4
