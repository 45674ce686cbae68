"""Collections, items and searches of stac-fastapi, over any store.

stac-fastapi calls these methods in threads, which is what a store is made for. They answer
finished bytes: a page of a hundred items is neither validated nor copied again.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attr
from pydantic import BaseModel
from stac_fastapi.types.core import BaseCoreClient
from starlette.requests import Request
from starlette.responses import Response

from kappamask_catalog.stac_api.answers import geojson_response, json_response
from kappamask_catalog.stac_api.assets import AssetLinks
from kappamask_catalog.stac_api.fields import parse_fields
from kappamask_catalog.stac_api.filters import join_filters, parse_filter, parse_query
from kappamask_catalog.stac_api.landing import Landing, build_landing_page
from kappamask_catalog.stac_api.links import (
    Href,
    base_url,
    collection_url,
    complete_collection,
    complete_item,
    link,
    next_page,
)
from kappamask_catalog.stac_api.parsing import (
    check_text,
    parse_bbox,
    parse_geometry,
    parse_interval,
    parse_limit,
    parse_names,
    parse_sort,
)
from kappamask_catalog.store.base import (
    Caller,
    Document,
    ItemPage,
    ItemQuery,
    Store,
    Visibility,
)
from kappamask_udf.errors import InvalidQueryError, NotInStoreError

Identify = Callable[[Request], Caller]
"""Who asks; may raise an `ApiError` for credentials that are wrong."""
Answer = Any
"""A `Response`; stac-fastapi takes these, but its types know documents only."""


def build_query(values: Mapping[str, Any]) -> ItemQuery:
    """What is searched for, from parameters as they came.

    Raises:
        InvalidQueryError: one of them cannot be understood.
    """
    bbox = parse_bbox(values.get("bbox"))
    intersects = parse_geometry(values.get("intersects"))
    if bbox is not None and intersects is not None:
        raise InvalidQueryError("bbox and intersects cannot be used together; leave one out")
    condition = parse_filter(
        values.get("filter_expr"), values.get("filter_lang"), values.get("filter_crs")
    )
    return ItemQuery(
        collections=parse_names(values.get("collections"), "collections"),
        ids=parse_names(values.get("ids"), "ids"),
        bbox=bbox,
        intersects=intersects,
        interval=parse_interval(values.get("datetime")),
        filter=join_filters(condition, parse_query(values.get("query"))),
        sort=parse_sort(values.get("sortby")),
        limit=parse_limit(values.get("limit")),
        token=values.get("token") or None,
    )


@attr.s(auto_attribs=True, kw_only=True)
class StoreClient(BaseCoreClient):
    """The core of the STAC API."""

    store: Store
    assets: AssetLinks
    landing: Landing
    identify: Identify

    def landing_page(self, **kwargs: Any) -> Answer:
        """GET `/`."""
        return json_response(build_landing_page(self.landing, base_url(kwargs["request"])))

    def conformance(self, **_: Any) -> Answer:
        """GET `/conformance`."""
        return json_response({"conformsTo": self.landing.conforms_to})

    def all_collections(self, **kwargs: Any) -> Answer:
        """GET `/collections`."""
        request: Request = kwargs["request"]
        caller, base = self.identify(request), base_url(request)
        collections = [
            complete_collection(one, base, self._hrefs(one["id"], base, caller))
            for one in self.store.list_collections(caller)
        ]
        return json_response(
            {
                "collections": collections,
                "links": [link("self", f"{base}collections"), link("root", base)],
                "numberMatched": len(collections),
                "numberReturned": len(collections),
            }
        )

    def get_collection(self, collection_id: str, **kwargs: Any) -> Answer:
        """GET `/collections/{collection_id}`."""
        request: Request = kwargs["request"]
        caller, base = self.identify(request), base_url(request)
        document = self.store.get_collection(collection_id, caller)
        return json_response(
            complete_collection(document, base, self._hrefs(collection_id, base, caller))
        )

    def get_item(self, item_id: str, collection_id: str, **kwargs: Any) -> Answer:
        """GET `/collections/{collection_id}/items/{item_id}`."""
        request: Request = kwargs["request"]
        caller, base = self.identify(request), base_url(request)
        item = self.store.get_item(collection_id, item_id, caller)
        return geojson_response(complete_item(item, base, self._hrefs(collection_id, base, caller)))

    def item_collection(self, collection_id: str, *_: Any, **kwargs: Any) -> Answer:
        """GET `/collections/{collection_id}/items`."""
        request: Request = kwargs.pop("request")
        # A collection that is not there is a mistake in an address, other than in a search.
        self.store.get_access(collection_id, self.identify(request))
        url = f"{collection_url(base_url(request), collection_id)}/items"
        # As one name: ids may have commas.
        return self._search(request, {**kwargs, "collections": [collection_id]}, url, None)

    def get_search(self, *_: Any, **kwargs: Any) -> Answer:
        """GET `/search`."""
        request: Request = kwargs.pop("request")
        return self._search(request, kwargs, f"{base_url(request)}search", None)

    def post_search(self, search_request: BaseModel, **kwargs: Any) -> Answer:
        """POST `/search`."""
        request: Request = kwargs["request"]
        values = {name: getattr(search_request, name) for name in search_request.model_fields_set}
        body = search_request.model_dump(by_alias=True, exclude_unset=True)
        check_text(body, "the body")
        return self._search(request, values, f"{base_url(request)}search", body)

    def _search(
        self, request: Request, values: dict[str, Any], url: str, body: dict[str, Any] | None
    ) -> Response:
        caller, base = self.identify(request), base_url(request)
        if body is None and "fields" in request.query_params:
            values["fields"] = request.query_params["fields"]
        choice = parse_fields(values.get("fields"))
        page = self.store.search(build_query(values), caller)
        self._complete(page.items, base, caller)
        features = page.items if choice is None else [choice.apply(item) for item in page.items]
        return geojson_response(
            {
                "type": "FeatureCollection",
                "features": features,
                "links": self._page_links(request, page, url, body),
                "numberMatched": page.n_matched,
                "numberReturned": len(features),
            }
        )

    def _page_links(
        self, request: Request, page: ItemPage, url: str, body: dict[str, Any] | None
    ) -> list[dict[str, Any]]:
        base = base_url(request)
        links = [link("self", url, "application/geo+json"), link("root", base)]
        if url != f"{base}search":
            collection = url.removesuffix("/items")
            links += [link("parent", collection), link("collection", collection)]
        if page.next_token is not None:
            links.append(next_page(request, url, page.next_token, body))
        return links

    def _complete(self, items: Iterable[Document], base: str, caller: Caller) -> None:
        hrefs: dict[str, Href] = {}
        for item in items:
            collection_id = item["collection"]
            if collection_id not in hrefs:
                hrefs[collection_id] = self._hrefs(collection_id, base, caller)
            complete_item(item, base, hrefs[collection_id])

    def _hrefs(self, collection_id: str, base: str, caller: Caller) -> Href:
        try:
            access = self.store.get_access(collection_id, caller)
            is_public = access.visibility is Visibility.PUBLIC
        except NotInStoreError:  # deleted since it was found
            is_public = False
        return partial(
            self.assets.public_href,
            base_url=base, collection_id=collection_id, is_public=is_public,
        )  # fmt: skip
