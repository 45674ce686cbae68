"""Stores of each kind that the contract is tested with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kappamask_catalog.store.base import Store

from .items import make_collection
from .places import Place

KINDS = ["sqlite", "pgstac"]


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A new place without anything in it."""
    locations: dict[str, Callable[[], str]] = {
        "sqlite": lambda: str(tmp_path / "folder" / "store.sqlite"),
        # Asked for only here, so that the other kinds are tested where there is no PostgreSQL.
        "pgstac": lambda: request.getfixturevalue("pgstac_dsn"),
    }
    return Place(request.param, locations[request.param]())


@pytest.fixture
def empty_store(place: Place) -> Iterator[Store]:
    """A store without collections."""
    store = place.open()
    yield store
    store.close()


@pytest.fixture
def store(empty_store: Store) -> Store:
    """A store with the public collection `masks`, empty."""
    empty_store.put_collection(*make_collection("masks"))
    return empty_store
