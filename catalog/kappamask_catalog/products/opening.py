"""From configuration to a collection, and from a reference to an open product."""

from pathlib import Path

from kappamask_catalog.products.api import ApiCollection
from kappamask_catalog.products.base import ProductCollection, ProductRef, parse_item
from kappamask_catalog.products.catalog import CatalogCollection
from kappamask_catalog.products.config import SourceConfig
from kappamask_catalog.products.folder import FolderCollection
from kappamask_catalog.products.server import JsonServer
from kappamask_catalog.sources import Product, open_product
from kappamask_catalog.sources.documents import is_url


def open_collection(config: SourceConfig) -> ProductCollection:
    """The collection of an entry. Nothing is contacted before it is searched.

    Raises:
        SourceError: a variable with credentials for the server is not set.
        MissingExtraError: for a server, requests is not installed.
    """
    if config.kind == "folder":
        return FolderCollection(config)
    if config.kind == "catalog":
        return CatalogCollection(config)
    return ApiCollection(config)


def open_ref(
    ref: ProductRef, config: SourceConfig, *, workdir: Path | None = None, verify: bool = True
) -> Product:
    """Opens a product that was found, with the bands, the offset rule and the access of its source.

    A reference without item, such as one that was made anew from an id and a location in another
    process, is read from its location.

    Args:
        ref: what a search gave.
        config: of the collection that was searched.
        workdir: see `open_product`.
        verify: see `open_product`.

    Raises:
        SourceError: a variable with credentials is not set.
        ProductError: see `open_product`.
    """
    item = ref.item
    if item is None and is_url(ref.location):
        # Not by `open_product`, which has no credentials for the server.
        item = parse_item(JsonServer(config).get_object(ref.location), ref.location, config)
    return open_product(
        ref.location,
        workdir=workdir,
        verify=verify,
        item=item,
        options=config.read_options(),
    )
