"""What all tests share: a clean environment, and a database server for those that ask."""

import os

import pytest
from hypothesis import settings

from tests.postgres import (
    pgstac_database,
    pgstac_dsn,
    pgstac_module_dsn,
    postgis_dsn,
    postgis_template,
    postgres_server,
)

__all__ = [
    "pgstac_database",
    "pgstac_dsn",
    "pgstac_module_dsn",
    "postgis_dsn",
    "postgis_template",
    "postgres_server",
]

# Times on a busy machine say nothing about a test.
settings.register_profile("kappamask", deadline=None)
settings.load_profile("kappamask")


@pytest.fixture(autouse=True)
def clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in [name for name in os.environ if name.startswith(("KAPPAMASK_", "GDAL_", "CPL_"))]:
        monkeypatch.delenv(name)
