"""What a store of STAC collections and items promises, whatever is behind it.

A store keeps documents and finds them, lets each caller see only what is theirs or public, and
hands out claims, so that of many processes one makes a mask and only who still holds the claim
publishes it. It knows neither HTTP nor pixels. All methods are safe to call from several threads
and processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

MAX_LIMIT = 10_000
"""Items per page at most; larger limits are clamped. Source: stac-fastapi's own."""
DEFAULT_LIMIT = 10
CLAIM_SECONDS = 60.0
"""How long a claim holds without a heartbeat."""

Document = dict[str, Any]


class Visibility(StrEnum):
    """Who sees a collection with its items."""

    PUBLIC = "public"
    PRIVATE = "private"


@dataclass(frozen=True)
class Access:
    """Whose a collection is."""

    owner: str | None = None
    """A user's id; `None` for the service itself."""
    visibility: Visibility = Visibility.PUBLIC


@dataclass(frozen=True)
class Caller:
    """On whose behalf a store is asked."""

    user: str | None = None
    """`None` for somebody who has not logged in."""
    is_operator: bool = False
    """Sees and may change everything: the command line of the machine itself."""


OPERATOR = Caller(is_operator=True)
ANYBODY = Caller()


@dataclass(frozen=True)
class SortKey:
    """One field to sort by."""

    field: str
    """`id`, `collection`, `datetime` or a property, with or without `properties.` before it."""
    is_descending: bool = False


@dataclass(frozen=True)
class ItemQuery:
    """What is searched for. All conditions must hold; `None` is no condition."""

    collections: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees; west > east where it crosses the antimeridian."""
    intersects: Mapping[str, Any] | None = None
    """GeoJSON geometry in degrees."""
    interval: tuple[datetime | None, datetime | None] | None = None
    """Aware times, both ends inside; `None` for an open end. An item with a range of its own is
    found if the ranges overlap."""
    filter: Mapping[str, Any] | None = None
    """CQL2 JSON."""
    sort: tuple[SortKey, ...] = ()
    """Newest `datetime` first, then `id`, if empty; `id` decides between equals."""
    limit: int = DEFAULT_LIMIT
    token: str | None = None
    """Of the page before, as the store gave it."""


@dataclass(frozen=True)
class ItemPage:
    """One page of what was found."""

    items: list[Document]
    """Complete items as they were put, in order."""
    next_token: str | None
    """For the page after this one; it begins behind the last item of this one, so items that are
    added or taken away meanwhile are neither given twice nor push others out. `None` at the end."""
    n_matched: int
    """How many items match in all."""


@dataclass(frozen=True)
class Claim:
    """The right to make one thing, for a while."""

    key: str
    """What is claimed, such as `kappamask-l1c/ITEM-ID`."""
    token: int
    """Fencing token: larger than that of every claim on the same key before."""
    holder: str
    """Who, for people: host and process."""
    expires: datetime
    """When it ends without a heartbeat, by the store's own clock."""


class Store(Protocol):
    """Keeps collections, items and claims."""

    def put_collection(self, collection: Mapping[str, Any], access: Access) -> None:
        """Add a collection or replace its document and access; its items stay."""
        ...

    def get_collection(self, collection_id: str, caller: Caller) -> Document:
        """A collection's document. Raises `NotInStoreError` if the caller cannot see it."""
        ...

    def get_access(self, collection_id: str, caller: Caller) -> Access:
        """Whose a collection is. Raises `NotInStoreError` if the caller cannot see it."""
        ...

    def list_collections(self, caller: Caller) -> list[Document]:
        """All collections that the caller can see, by id."""
        ...

    def delete_collection(self, collection_id: str) -> None:
        """Remove a collection with its items. Raises `NotInStoreError` if it is not there."""
        ...

    def upsert_items(
        self, collection_id: str, items: Sequence[Mapping[str, Any]], claim: Claim | None = None
    ) -> None:
        """Add items or replace those of the same id, all or none, in one transaction.

        Args:
            collection_id: where to.
            items: STAC items; `collection` is set to `collection_id`.
            claim: publish only if it still holds, checked in the same transaction, and end it.

        Raises:
            NotInStoreError: there is no such collection.
            ClaimLostError: the claim has ended or is somebody else's by now.
            InvalidDocumentError: an item has no id, geometry or time that can be stored.
        """
        ...

    def get_item(self, collection_id: str, item_id: str, caller: Caller) -> Document:
        """An item. Raises `NotInStoreError` if it is not there or the caller cannot see it."""
        ...

    def delete_items(self, collection_id: str, item_ids: Sequence[str]) -> int:
        """Remove items; how many were there. Raises `NotInStoreError` for the collection."""
        ...

    def search(self, query: ItemQuery, caller: Caller) -> ItemPage:
        """A page of the items that match and that the caller can see.

        Collections that the caller cannot see count as not there.

        Raises:
            InvalidQueryError: the filter, a field, a geometry or the token cannot be understood.
        """
        ...

    def property_names(self, collection_id: str | None, caller: Caller) -> Sequence[str]:
        """Names of all properties that items have, sorted: of one collection, or of all that the
        caller can see. Raises `NotInStoreError` if the caller cannot see the collection.
        """
        ...

    def try_claim(self, key: str, holder: str, seconds: float = CLAIM_SECONDS) -> Claim | None:
        """A claim, or `None` if somebody holds one that has not expired."""
        ...

    def renew_claim(self, claim: Claim, seconds: float = CLAIM_SECONDS) -> Claim:
        """The heartbeat. Raises `ClaimLostError` if it expired and was taken, or was ended."""
        ...

    def release_claim(self, claim: Claim) -> None:
        """End a claim, if it still is this one; nothing happens otherwise."""
        ...

    def list_claims(self) -> list[Claim]:
        """Claims that have not expired, by key."""
        ...

    def close(self) -> None:
        """Give back connections and files."""
        ...
