"""Weight files of the deterministic network, made once."""

from pathlib import Path

import pytest

from tests.deeplab.deterministic import make_layers, with_zero_band
from tests.deeplab.keras_files import write_keras_file


@pytest.fixture(scope="session")
def weights_l1c(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keras weights for 13 bands."""
    return write_keras_file(tmp_path_factory.mktemp("weights") / "l1c.hdf5", make_layers())


@pytest.fixture(scope="session")
def weights_l2a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keras weights for 14 bands of which the last has no influence."""
    layers = with_zero_band(make_layers())
    return write_keras_file(tmp_path_factory.mktemp("weights") / "l2a.hdf5", layers)
