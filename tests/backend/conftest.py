"""A small product of the embedded scene, and the command line run in this process."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kappamask_backend.cli import app
from kappamask_catalog.scene import DEMO_DATES, DemoScene, ProductPaths, write_product
from tests.deeplab.conftest import weights_l1c, weights_l2a

__all__ = ["weights_l1c", "weights_l2a"]

SIZE_PX = 306
"""102 cells of the default network: one tile, so that tests are quick."""


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line that says what was wrong."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.stderr
        return lines[0]


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run `kappamask ARGUMENTS` in an empty working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("KAPPAMASK_MODEL_FOLDER", str(tmp_path / "models"))

    def invoke(*arguments: str | Path) -> Outcome:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    """An L1C product, baseline 05.11. Tests that change it must copy it."""
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[0])
    return write_product(scene, tmp_path_factory.mktemp("product"))


@pytest.fixture(scope="session")
def product_l2a(tmp_path_factory: pytest.TempPathFactory) -> ProductPaths:
    """The same scene as Level-2A."""
    scene = DemoScene(size_px=SIZE_PX, date=DEMO_DATES[0])
    return write_product(scene, tmp_path_factory.mktemp("product-l2a"), level="L2A")
