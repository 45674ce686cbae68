"""Where stores of each kind are, so that tests and other processes can open the same one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kappamask_catalog.store.base import Store
from kappamask_catalog.store.pgstac import PgstacStore
from kappamask_catalog.store.sqlite import SqliteStore

OPENERS: dict[str, Callable[[str], Store]] = {
    "sqlite": lambda location: SqliteStore(Path(location)),
    "pgstac": PgstacStore,
}
"""How to open a store by its kind, given its location: a path or an address."""


@dataclass(frozen=True)
class Place:
    """One store, open or not."""

    kind: str
    location: str

    def open(self) -> Store:
        return OPENERS[self.kind](self.location)
