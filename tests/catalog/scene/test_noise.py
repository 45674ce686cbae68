import numpy as np
import pytest

from kappamask_catalog.scene.noise import FractalNoise, normal_grid, stream_key
from kappamask_udf.pixels import PixelWindow

WHOLE = PixelWindow(-70, 90, -33, 160)


@pytest.mark.parametrize("stretch", [1, 4])
@pytest.mark.parametrize(
    "part",
    [
        PixelWindow(-70, -69, -33, -32),
        PixelWindow(-1, 1, -33, 160),
        PixelWindow(0, 90, 0, 7),
        PixelWindow(37, 64, 63, 129),
    ],
)
def test_fractal_noise_part_of_window_equals_whole(part: PixelWindow, stretch: int) -> None:
    noise = FractalNoise(stream_key("test"), 64, 2, 0.6, stretch)
    rows = slice(part.row0 - WHOLE.row0, part.row1 - WHOLE.row0)
    cols = slice(part.col0 - WHOLE.col0, part.col1 - WHOLE.col0)
    np.testing.assert_array_equal(noise.evaluate(part), noise.evaluate(WHOLE)[rows, cols])


def test_fractal_noise_many_cells_has_unit_deviation() -> None:
    field = FractalNoise(stream_key("test"), 16, 2, 0.6).evaluate(PixelWindow(0, 800, 0, 800))
    assert field.std() == pytest.approx(1.0, abs=0.1)
    assert field.mean() == pytest.approx(0.0, abs=0.1)


def test_fractal_noise_other_key_gives_unrelated_field() -> None:
    window = PixelWindow(0, 300, 0, 300)
    first, second = (FractalNoise(stream_key(n), 16, 2, 0.6).evaluate(window) for n in "ab")
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


def test_fractal_noise_neighbours_are_alike_across_cell_borders() -> None:
    field = FractalNoise(stream_key("test"), 64, 16, 0.5).evaluate(PixelWindow(0, 256, 0, 256))
    steps = np.abs(np.diff(field, axis=1)).max(axis=0)
    # a seam at a cell border would stand out from the steps inside the cells
    assert steps[15::16].max() < 2 * np.median(steps)


def test_fractal_noise_stretch_makes_longer_columns_than_rows() -> None:
    noise = FractalNoise(stream_key("test"), 32, 8, 0.5, stretch=4)
    field = noise.evaluate(PixelWindow(0, 400, 0, 400))
    assert np.abs(np.diff(field, axis=0)).mean() < 0.5 * np.abs(np.diff(field, axis=1)).mean()


def test_normal_grid_moments_are_those_of_a_normal_distribution() -> None:
    noise = normal_grid(stream_key("test"), PixelWindow(-200, 200, 0, 400)).astype(float)
    assert noise.mean() == pytest.approx(0.0, abs=0.01)
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    # 68 % within one deviation; a uniform distribution would have 58 %
    assert (np.abs(noise) < 1).mean() == pytest.approx(0.68, abs=0.02)


def test_fractal_noise_cell_not_power_of_two_is_refused() -> None:
    with pytest.raises(ValueError, match="power of 2"):
        FractalNoise(1, 100, 2, 0.5)
