"""The store in one SQLite file: the default, for one machine and several processes."""

from kappamask_catalog.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
