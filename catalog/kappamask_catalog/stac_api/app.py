"""The STAC API as one application: stac-fastapi's routes over a store of ours."""

from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

from brotli_asgi import BrotliMiddleware
from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    create_get_request_model,
    create_post_request_model,
)
from stac_fastapi.extensions.fields import FieldsConformanceClasses, FieldsExtension
from stac_fastapi.extensions.filter import FilterConformanceClasses, FilterExtension
from stac_fastapi.extensions.pagination import TokenPaginationExtension
from stac_fastapi.extensions.query import QueryConformanceClasses, QueryExtension
from stac_fastapi.extensions.sort import SortConformanceClasses, SortExtension
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.extension import ApiExtension
from starlette.middleware import Middleware
from starlette.requests import Request

from kappamask_catalog.stac_api import files as file_routes
from kappamask_catalog.stac_api import models as model_routes
from kappamask_catalog.stac_api import parameters
from kappamask_catalog.stac_api.assets import AssetLinks, Clock, FileReader, build_signer
from kappamask_catalog.stac_api.client import Identify, StoreClient
from kappamask_catalog.stac_api.errors import BugMiddleware, install_errors
from kappamask_catalog.stac_api.landing import Landing, stac_links
from kappamask_catalog.stac_api.middleware import (
    AddressMiddleware,
    CorsMiddleware,
    HeadMiddleware,
)
from kappamask_catalog.stac_api.models import Models
from kappamask_catalog.stac_api.queryables import QueryablesClient
from kappamask_catalog.stac_api.settings import StacApiSettings
from kappamask_catalog.stac_api.transactions import TransactionExtension
from kappamask_catalog.store.base import ANYBODY, Caller, Store


def identify_nobody(_: Request) -> Caller:
    """Everybody is anybody."""
    return ANYBODY


def no_models() -> Iterable[Mapping[str, Any]]:
    """No models."""
    return ()


class _Filter(FilterExtension):
    GET, POST = parameters.FilterGet, parameters.FilterPost


class _Query(QueryExtension):
    GET, POST = parameters.QueryGet, parameters.QueryPost


class _Sort(SortExtension):
    GET, POST = parameters.SortGet, parameters.SortPost


class _Fields(FieldsExtension):
    GET, POST = parameters.FieldsGet, parameters.FieldsPost


class _Token(TokenPaginationExtension):
    GET, POST = parameters.TokenGet, parameters.TokenPost


class _StacFastApiSettings(ApiSettings):
    # Ours come from KAPPAMASK_API_*; a file in the working folder is nobody's intention.
    model_config = SettingsConfigDict(env_file=None, extra="ignore")


FILTER_CLASSES = (
    FilterConformanceClasses.FILTER,
    FilterConformanceClasses.SEARCH,
    FilterConformanceClasses.ITEMS,
    FilterConformanceClasses.CQL2_TEXT,
    FilterConformanceClasses.CQL2_JSON,
    FilterConformanceClasses.BASIC_CQL2,
    FilterConformanceClasses.ADVANCED_COMPARISON_OPERATORS,
    FilterConformanceClasses.BASIC_SPATIAL_FUNCTIONS,
)
"""What all stores can do; see the contract test of stores."""

SORT_CLASSES = (
    SortConformanceClasses.ITEM_SEARCH_SORT,
    SortConformanceClasses.FEATURES_SORT,
    # Clients look for these, such as pystac-client 0.9; 1.1.0 added to it only.
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
)


def create_stac_app(
    store: Store,
    assets: AssetLinks,
    settings: StacApiSettings,
    *,
    files: FileReader | None = None,
    identify: Identify = identify_nobody,
    models: Models = no_models,
    clock: Clock | None = None,
) -> FastAPI:
    """An application that answers STAC at its root.

    `app.state.landing` is its `Landing`; another API that is added to the application tells it
    about itself.

    Args:
        store: what is answered; it stays open when the application ends.
        assets: makes links to files that users can open.
        settings: see there.
        files: what `/assets` serves; without it, there is no such address.
        identify: says who asks.
        models: gives the items of all models.
        clock: seconds since 1970, for links that end.
    """
    landing = Landing(settings)
    client = StoreClient(store=store, assets=assets, landing=landing, identify=identify)
    extensions = _extensions(client)
    app = _build_app(client, settings, extensions)
    app.include_router(model_routes.build_router(models))
    if files is not None:
        signer = build_signer(settings) if clock is None else build_signer(settings, clock)
        gate = file_routes.FileGate(store, settings, signer)
        app.include_router(file_routes.build_router(files, gate))
    install_errors(app)
    landing.add(client.conformance_classes(), stac_links)
    landing.add(links=model_routes.models_link)
    app.state.landing = landing
    return app


def _extensions(client: StoreClient) -> list[ApiExtension]:
    """Those of searches; the first five have parameters."""
    queryables = QueryablesClient(store=client.store, identify=client.identify)
    query = (QueryConformanceClasses.SEARCH, QueryConformanceClasses.ITEMS)
    fields = (FieldsConformanceClasses.SEARCH, FieldsConformanceClasses.ITEMS)
    return [
        _Filter(client=queryables, conformance_classes=list(FILTER_CLASSES)),
        _Sort(conformance_classes=list(SORT_CLASSES)),
        _Query(conformance_classes=list(query)),
        _Fields(conformance_classes=list(fields)),
        _Token(),
    ]


def _build_app(
    client: StoreClient, settings: StacApiSettings, extensions: list[ApiExtension]
) -> FastAPI:
    def health() -> dict[str, str]:
        """The store answers."""
        client.store.list_claims()
        return {"status": "UP"}

    transactions = [TransactionExtension(client=client)] if settings.enable_transactions else []
    api = StacApi(
        settings=_stac_fastapi_settings(settings),
        client=client,
        extensions=[*extensions, *transactions],
        exceptions={},
        search_get_request_model=create_get_request_model(extensions, parameters.SearchGet),
        search_post_request_model=create_post_request_model(extensions, parameters.SearchPost),
        items_get_request_model=create_get_request_model(extensions, parameters.ItemsGet),
        middlewares=_middlewares(settings),
        health_check=health,
    )
    app: FastAPI = api.app
    return app


def _stac_fastapi_settings(settings: StacApiSettings) -> ApiSettings:
    return _StacFastApiSettings(
        stac_fastapi_title=settings.title,
        stac_fastapi_description=settings.description,
        stac_fastapi_version=metadata.version("openeo-kappamask"),
        stac_fastapi_landing_id=settings.catalog_id,
        enable_response_models=False,
        enable_direct_response=False,
        openapi_url="/api",
        docs_url="/api.html",
        root_path="",
    )


def _middlewares(settings: StacApiSettings) -> list[Middleware]:
    """From the innermost to the outermost."""
    return [
        Middleware(BugMiddleware),
        Middleware(BrotliMiddleware, excluded_handlers=[file_routes.PATHS.pattern]),
        Middleware(HeadMiddleware, own_paths=file_routes.PATHS),
        Middleware(AddressMiddleware, public_url=settings.public_url),
        Middleware(CorsMiddleware),
    ]
