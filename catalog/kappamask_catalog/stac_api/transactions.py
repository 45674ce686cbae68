"""Collections and items changed over HTTP: the transaction extension, for operators and owners.

A collection belongs to who makes it: that of a user is theirs and private, that of an operator is
the service's and public. Who cannot see a collection gets 404, who sees it but does not own it 403.
"""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

import attr
from fastapi import APIRouter, Body, FastAPI
from stac_fastapi.extensions.transaction import TransactionConformanceClasses
from stac_fastapi.types.extension import ApiExtension
from starlette.requests import Request
from starlette.responses import Response

from kappamask_catalog.stac_api.client import StoreClient
from kappamask_catalog.stac_api.documents import check_collection, check_item, merged
from kappamask_catalog.stac_api.errors import (
    AuthenticationRequiredError,
    ConflictError,
    PermissionsInsufficientError,
)
from kappamask_catalog.stac_api.links import OWN_RELATIONS, base_url, collection_url, quoted
from kappamask_catalog.store.base import (
    OPERATOR,
    Access,
    Caller,
    Document,
    Store,
    Visibility,
)
from kappamask_udf.errors import InvalidDocumentError, NotInStoreError

MAX_ITEMS = 10_000
"""In one request."""
_COLLECTION = "/collections/{collection_id}"
_ITEMS = f"{_COLLECTION}/items"
_ITEM = f"{_ITEMS}/{{item_id}}"
_CLAIM_SECONDS = 30.0

Posted = Annotated[dict[str, Any], Body()]


@attr.s(auto_attribs=True, kw_only=True)
class TransactionExtension(ApiExtension):
    """Routes that change what is in the store."""

    client: StoreClient
    conformance_classes: list[str] = attr.ib(factory=lambda: list(TransactionConformanceClasses))

    def register(self, app: FastAPI) -> None:
        """Add the routes to an application."""
        editor = Editor(self.client)
        router = APIRouter(tags=["Transactions"])
        routes: list[tuple[str, str, Callable[..., Response]]] = [
            ("POST", "/collections", editor.create_collection),
            ("PUT", _COLLECTION, editor.replace_collection),
            ("PATCH", _COLLECTION, editor.patch_collection),
            ("DELETE", _COLLECTION, editor.delete_collection),
            ("POST", _ITEMS, editor.create_items),
            ("PUT", _ITEM, editor.replace_item),
            ("PATCH", _ITEM, editor.patch_item),
            ("DELETE", _ITEM, editor.delete_item),
        ]
        for method, path, endpoint in routes:
            router.add_api_route(path, endpoint, methods=[method], response_model=None)
        app.include_router(router)


def require_owner(store: Store, collection_id: str, caller: Caller) -> Access:
    """A collection's access, if the caller may change it.

    Raises:
        NotInStoreError: they cannot see it.
        AuthenticationRequiredError, PermissionsInsufficientError: it is not theirs.
    """
    access = store.get_access(collection_id, caller)
    if caller.is_operator:
        return access
    if caller.user is None:
        raise AuthenticationRequiredError(f"log in to change collection {collection_id}")
    if access.owner != caller.user:
        raise PermissionsInsufficientError(f"collection {collection_id} is somebody else's")
    return access


class Editor:
    """What the routes do; each method is an endpoint and runs in a thread."""

    def __init__(self, client: StoreClient):
        self._client = client
        self._store = client.store

    def create_collection(self, request: Request, collection: Posted) -> Response:
        """Add a collection, which then is the caller's."""
        caller = self._client.identify(request)
        if caller.user is None and not caller.is_operator:
            raise AuthenticationRequiredError("log in to make a collection")
        check_collection(collection)
        collection_id = collection["id"]
        private = Access(caller.user, Visibility.PRIVATE)
        # Two who make it at once: one gets it, and nobody takes over what is another's.
        with self._claimed(f"collection/{collection_id}"):
            if self._is_there(collection_id):
                raise ConflictError(f"there is a collection {collection_id!r} already")
            self._store.put_collection(
                _stored(collection), Access() if caller.is_operator else private
            )
        answer = self._client.get_collection(collection_id, request=request)
        return _created(answer, collection_url(base_url(request), collection_id))

    def replace_collection(
        self, collection_id: str, request: Request, collection: Posted
    ) -> Response:
        """Replace a collection's document; its items stay."""
        access = require_owner(self._store, collection_id, self._client.identify(request))
        return self._put_collection(collection_id, collection, access, request)

    def patch_collection(self, collection_id: str, request: Request, patch: Posted) -> Response:
        """Change parts of a collection's document: a merge patch, RFC 7396."""
        caller = self._client.identify(request)
        access = require_owner(self._store, collection_id, caller)
        document = merged(self._store.get_collection(collection_id, caller), patch)
        return self._put_collection(collection_id, document, access, request)

    def delete_collection(self, collection_id: str, request: Request) -> Response:
        """Remove a collection with its items."""
        require_owner(self._store, collection_id, self._client.identify(request))
        self._store.delete_collection(collection_id)
        return Response(status_code=204)

    def create_items(self, collection_id: str, request: Request, item: Posted) -> Response:
        """Add an item, or all of a feature collection, or none of them."""
        caller = self._client.identify(request)
        require_owner(self._store, collection_id, caller)
        is_many = item.get("type") == "FeatureCollection"
        items = item.get("features") if is_many else [item]
        if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            raise InvalidDocumentError(f"features must be a list of 1 to {MAX_ITEMS} items")
        for one in items:
            check_item(one, collection_id)
        with self._claimed(f"items/{collection_id}"):
            self._refuse_known(collection_id, [one["id"] for one in items], caller)
            self._store.upsert_items(collection_id, [_stored(one) for one in items])
        if is_many:
            return Response(status_code=201)
        return self._item_created(collection_id, items[0]["id"], request)

    def replace_item(
        self,
        collection_id: str,
        item_id: str,
        request: Request,
        item: Posted,
    ) -> Response:
        """Replace an item."""
        caller = self._client.identify(request)
        require_owner(self._store, collection_id, caller)
        self._store.get_item(collection_id, item_id, caller)
        return self._put_item(collection_id, item_id, item, request)

    def patch_item(
        self,
        collection_id: str,
        item_id: str,
        request: Request,
        patch: Posted,
    ) -> Response:
        """Change parts of an item: a merge patch, RFC 7396."""
        caller = self._client.identify(request)
        require_owner(self._store, collection_id, caller)
        document = merged(self._store.get_item(collection_id, item_id, caller), patch)
        return self._put_item(collection_id, item_id, document, request)

    def delete_item(self, collection_id: str, item_id: str, request: Request) -> Response:
        """Remove an item."""
        require_owner(self._store, collection_id, self._client.identify(request))
        if not self._store.delete_items(collection_id, [item_id]):
            raise NotInStoreError(f"there is no item {item_id!r} in {collection_id}")
        return Response(status_code=204)

    def _put_collection(
        self, collection_id: str, document: Document, access: Access, request: Request
    ) -> Response:
        check_collection(document, collection_id)
        self._store.put_collection(_stored(document), access)
        answer: Response = self._client.get_collection(collection_id, request=request)
        return answer

    def _put_item(
        self, collection_id: str, item_id: str, document: Document, request: Request
    ) -> Response:
        check_item(document, collection_id, item_id)
        self._store.upsert_items(collection_id, [_stored(document)])
        answer: Response = self._client.get_item(item_id, collection_id, request=request)
        return answer

    def _item_created(self, collection_id: str, item_id: str, request: Request) -> Response:
        answer = self._client.get_item(item_id, collection_id, request=request)
        url = f"{collection_url(base_url(request), collection_id)}/items/{quoted(item_id)}"
        return _created(answer, url)

    def _is_there(self, collection_id: str) -> bool:
        # As an operator: what the caller cannot see must not be replaced either.
        try:
            self._store.get_access(collection_id, OPERATOR)
        except NotInStoreError:
            return False
        return True

    def _refuse_known(self, collection_id: str, ids: list[str], caller: Caller) -> None:
        if len(set(ids)) < len(ids):
            raise InvalidDocumentError("two of the features have the same id")
        for item_id in ids:
            try:
                self._store.get_item(collection_id, item_id, caller)
            except NotInStoreError:
                continue
            raise ConflictError(f"there is an item {item_id!r} in {collection_id} already")

    @contextmanager
    def _claimed(self, key: str) -> Iterator[None]:
        holder = f"{socket.gethostname()}:{os.getpid()}"
        claim = self._store.try_claim(f"transaction/{key}", holder, _CLAIM_SECONDS)
        if claim is None:
            raise ConflictError(f"somebody changes {key} at this moment; try again")
        try:
            yield
        finally:
            self._store.release_claim(claim)


def _stored(document: Mapping[str, Any]) -> Document:
    """Without links that follow from where a document is."""
    links = [one for one in document.get("links", ()) if one.get("rel") not in OWN_RELATIONS]
    return {**document, "links": links}


def _created(answer: Response, url: str) -> Response:
    answer.status_code = 201
    answer.headers["Location"] = url
    return answer
