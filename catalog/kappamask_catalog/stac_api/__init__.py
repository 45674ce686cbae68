"""The STAC API over any store: collections, items, searches, models and files."""

from kappamask_catalog.stac_api import _quiet as _quiet
from kappamask_catalog.stac_api.app import create_stac_app, identify_nobody, no_models
from kappamask_catalog.stac_api.assets import AssetLinks, FileReader, LinkSigner, StorageLinks
from kappamask_catalog.stac_api.client import Identify, StoreClient
from kappamask_catalog.stac_api.landing import Landing, build_landing_page
from kappamask_catalog.stac_api.settings import StacApiSettings

__all__ = [
    "AssetLinks",
    "FileReader",
    "Identify",
    "Landing",
    "LinkSigner",
    "StacApiSettings",
    "StorageLinks",
    "StoreClient",
    "build_landing_page",
    "create_stac_app",
    "identify_nobody",
    "no_models",
]
