"""What all tests share: a clean environment."""

import os

import pytest
from hypothesis import settings

# Times on a busy machine say nothing about a test.
settings.register_profile("kappamask", deadline=None)
settings.load_profile("kappamask")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in [name for name in os.environ if name.startswith(("KAPPAMASK_", "GDAL_", "CPL_"))]:
        monkeypatch.delenv(name)
