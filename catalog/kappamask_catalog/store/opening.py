"""From an address to a store."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from kappamask_catalog.store.base import Store
from kappamask_udf.errors import MissingExtraError, StoreError

_POSTGRES = ("postgresql", "postgres")


def is_postgres(url: str) -> bool:
    """Whether an address is that of a PostgreSQL database."""
    return urlsplit(url).scheme in _POSTGRES


def open_store(url: str) -> Store:
    """The store at an address.

    Args:
        url: `sqlite:///absolute/path`, or `postgresql://user:password@host/database`.

    Raises:
        StoreError: it is no such address, or the store cannot be opened.
        MissingExtraError: a package for this kind of store is not installed.
    """
    if is_postgres(url):
        try:
            from kappamask_catalog.store.pgstac import PgstacStore
        except ImportError as error:
            raise MissingExtraError(
                "a store on PostgreSQL needs pypgstac; install 'openeo-kappamask[postgres]'"
            ) from error
        return PgstacStore(url)
    parts = urlsplit(url)
    if parts.scheme == "sqlite" and parts.netloc == "" and parts.path:
        try:
            from kappamask_catalog.store.sqlite import SqliteStore
        except ImportError as error:
            raise MissingExtraError(
                "a store needs orjson and cql2; install 'openeo-kappamask[catalog]'"
            ) from error
        return SqliteStore(Path(unquote(parts.path)))
    raise StoreError(
        f"{parts.scheme or 'this'}: is no address of a store; give sqlite:///path or "
        "postgresql://user@host/database"
    )
