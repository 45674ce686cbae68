"""Products for the tests of reading."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.catalog.sources.safes import SafeSpec, write_safe


@pytest.fixture
def make_safe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a product; keyword arguments are fields of `SafeSpec`."""

    def make(**changes: object) -> Path:
        return write_safe(tmp_path, replace(SafeSpec(), **changes))

    return make


@pytest.fixture(scope="session")
def l1c_safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Level-1C product of baseline 05.09 that no test changes."""
    return write_safe(tmp_path_factory.mktemp("l1c"), SafeSpec())


@pytest.fixture(scope="session")
def old_l1c_safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Level-1C product of baseline 02.04 with GML masks that no test changes."""
    return write_safe(tmp_path_factory.mktemp("old"), SafeSpec(baseline="02.04", offset=None))


@pytest.fixture(scope="session")
def l2a_safe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Level-2A product of baseline 05.09 that no test changes."""
    spec = SafeSpec(level="L2A", bands=("B02", "B8A", "AOT", "WVP"))
    return write_safe(tmp_path_factory.mktemp("l2a"), spec)
