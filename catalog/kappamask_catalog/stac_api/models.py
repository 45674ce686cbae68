"""The models as a STAC catalog beside the collections: `/models` and `/models/{name}`."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from kappamask_catalog.stac_api.answers import geojson_response, json_response
from kappamask_catalog.stac_api.landing import STAC_VERSION
from kappamask_catalog.stac_api.links import (
    GEOJSON,
    OWN_RELATIONS,
    Link,
    base_url,
    link,
    quoted,
)
from kappamask_udf.errors import NotInStoreError

Models = Callable[[], Iterable[Mapping[str, Any]]]
"""Gives the items of all models, with the Machine Learning Model extension."""


def models_link(base: str) -> Iterable[Link]:
    """The link of the landing page."""
    return (link("child", f"{base}models", title="Models"),)


def build_router(models: Models) -> APIRouter:
    """Routes for the models that `models` gives when it is asked."""
    router = APIRouter(tags=["Models"])

    @router.get("/models", name="Models")
    def get_models(request: Request) -> Response:
        """A catalog of all models."""
        base = base_url(request)
        items = [
            link("item", f"{base}models/{quoted(item['id'])}", GEOJSON, _title(item))
            for item in models()
        ]
        return json_response(
            {
                "type": "Catalog",
                "stac_version": STAC_VERSION,
                "id": "models",
                "title": "Models",
                "description": "Networks that make masks, described with the MLM extension.",
                "links": [
                    link("self", f"{base}models"), link("root", base), link("parent", base), *items,
                ],
            }
        )  # fmt: skip

    @router.get("/models/{name}", name="Model")
    def get_model(name: str, request: Request) -> Response:
        """The item of one model."""
        base = base_url(request)
        for item in models():
            if item["id"] == name:
                url = f"{base}models/{quoted(name)}"
                kept = [one for one in item["links"] if one.get("rel") not in OWN_RELATIONS]
                links = [
                    link("self", url, GEOJSON), link("root", base), link("parent", f"{base}models"),
                    *kept,
                ]  # fmt: skip
                return geojson_response({**item, "links": links})
        raise NotInStoreError(f"there is no model {name!r}; {base}models lists them")

    return router


def _title(item: Mapping[str, Any]) -> str:
    return str(item.get("properties", {}).get("title", item["id"]))
