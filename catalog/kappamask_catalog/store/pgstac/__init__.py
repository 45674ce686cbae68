"""The store in PostgreSQL: items in pgstac, and beside it whose they are and who makes what.

Raises `MissingExtraError` where what it needs is not installed.
"""

from kappamask_udf.errors import MissingExtraError

try:
    from kappamask_catalog.store.pgstac.migrations import Versions, migrate
    from kappamask_catalog.store.pgstac.store import PgstacStore
except ModuleNotFoundError as error:
    if (error.name or "").startswith("kappamask"):
        raise
    raise MissingExtraError(
        f"the store in PostgreSQL needs {error.name}, which is not installed; run:"
        " pip install 'openeo-kappamask[postgres]'"
    ) from error

__all__ = ["PgstacStore", "Versions", "migrate"]
