"""Collections of products that can be masked: folders, static catalogs and STAC APIs.

Which there are is configuration, not code; one product is opened by `kappamask_catalog.sources`.
"""

from kappamask_catalog.products.base import ProductCollection, ProductRef
from kappamask_catalog.products.config import (
    Credentials,
    S3Settings,
    SourceConfig,
    find_source,
    load_sources,
    read_sources,
    shipped_sources,
)
from kappamask_catalog.products.folder import watch_folder
from kappamask_catalog.products.opening import open_collection, open_ref

__all__ = [
    "Credentials",
    "ProductCollection",
    "ProductRef",
    "S3Settings",
    "SourceConfig",
    "find_source",
    "load_sources",
    "open_collection",
    "open_ref",
    "read_sources",
    "shipped_sources",
    "watch_folder",
]
