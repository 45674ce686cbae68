"""The store in PostgreSQL: items in pgstac, and beside it whose they are and who makes what."""

from kappamask_catalog.store.pgstac.migrations import Versions, migrate
from kappamask_catalog.store.pgstac.store import PgstacStore

__all__ = ["PgstacStore", "Versions", "migrate"]
