"""One product to one published mask.

    claim -> mask in a work folder -> files into the storage -> item into the store, if the claim
    still holds -> files of earlier tries away

Until the item is in the store nothing is visible, and what a process that was killed left in the
storage goes away when the product is published again.
"""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from time import perf_counter

from kappamask_catalog.masking import MaskOptions, prepare_mask
from kappamask_catalog.publish.item import plain_mask_id
from kappamask_catalog.publishing.items import Place, store_result
from kappamask_catalog.results import write_mask
from kappamask_catalog.sources.naming import parse_product_name, product_name
from kappamask_catalog.sources.product import Product
from kappamask_catalog.storage.base import MaskStorage
from kappamask_catalog.store.base import CLAIM_SECONDS, OPERATOR, Store
from kappamask_catalog.store.held import HeldClaim, holder_name
from kappamask_udf.errors import NotInStoreError
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import Level

Progress = Callable[[str, int, int], None]
"""Called with the product, tiles done and tiles in all."""


class InterruptedRunError(Exception):
    """The user wants an end; nothing of the product was published."""


@dataclass(frozen=True)
class Candidate:
    """A product that may need a mask."""

    location: str
    """Path or URL, for people and for `derived_from`."""
    open: Callable[[], Product]
    """Opens it; raises `KappamaskError`."""
    name: str | None = None
    """Full name of the product, if it is known without opening it; saves opening those whose mask
    is there."""


class Status(StrEnum):
    """What became of a product."""

    PUBLISHED = "published"
    PRESENT = "present"
    """There is a mask by this version of the model already."""
    CLAIMED = "claimed"
    """Somebody else makes it right now."""
    WOULD_PUBLISH = "would publish"
    """There is none, and nothing was done, as asked for."""
    FAILED = "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a product, and why."""

    product: str
    """Full name, or where it is if its name is not known."""
    location: str
    status: Status
    item_id: str | None = None
    seconds: float = 0.0
    attempts: int = 1
    reason: str | None = None
    """The error, if it failed."""


@dataclass(frozen=True)
class Target:
    """Where masks go and how they are made."""

    store: Store
    storage: MaskStorage
    collection_id: str
    model: ModelSpec
    options: MaskOptions
    work: Path
    """Folder for masks that are not stored yet."""
    claim_seconds: float = CLAIM_SECONDS
    is_dry_run: bool = False
    is_forced: bool = False
    """Make masks that are there already again."""

    def has(self, item_id: str) -> bool:
        """Whether a mask is there and stays."""
        if self.is_forced:
            return False
        try:
            self.store.get_item(self.collection_id, item_id, OPERATOR)
        except NotInStoreError:
            return False
        return True


@dataclass(frozen=True)
class Publisher:
    """Publishes products one at a time; several threads may use it."""

    target_of: Callable[[Level], Target]
    """Where masks of a level go; raises `KappamaskError` for one that is not wanted."""
    stop: threading.Event
    progress: Progress | None = None

    def publish(self, candidate: Candidate) -> Outcome:
        """Mask a product and publish the mask, unless it is there or somebody else is at it.

        Raises:
            InterruptedRunError: `stop` was set.
            KappamaskError: it failed.
        """
        location = candidate.location
        told = parse_product_name(candidate.name or "") or parse_product_name(location)
        if told is not None:
            level: Level = "L1C" if told.level == "L1C" else "L2A"
            done = _without_opening(self.target_of(level), location, told.text)
            if done is not None:
                return done
        with candidate.open() as product:
            return self._publish_opened(self.target_of(product.level), product, location)

    def _publish_opened(self, target: Target, product: Product, location: str) -> Outcome:
        name = product_name(product.item)
        item_id = plain_mask_id(name, target.model)
        outcome = Outcome(name, location, Status.PRESENT, item_id)
        if target.has(item_id):
            return outcome
        if target.is_dry_run:
            return replace(outcome, status=Status.WOULD_PUBLISH)
        key = f"{target.collection_id}/{item_id}"
        claim = target.store.try_claim(key, holder_name(), target.claim_seconds)
        if claim is None:
            return replace(outcome, status=Status.CLAIMED)
        start = perf_counter()
        with HeldClaim(target.store, claim, target.claim_seconds) as held:
            # Whoever held it before may have published meanwhile.
            if target.has(item_id):
                return outcome
            self._make(target, product, item_id, held)
        return replace(outcome, status=Status.PUBLISHED, seconds=perf_counter() - start)

    def _make(self, target: Target, product: Product, item_id: str, held: HeldClaim) -> None:
        name = product_name(product.item)

        def advance(done: int, total: int) -> None:
            if self.stop.is_set():
                raise InterruptedRunError
            held.check()
            if self.progress is not None:
                self.progress(name, done, total)

        folder = target.work / f"{item_id}-{held.claim.token}"
        try:
            job = prepare_mask(product, target.model, target.options)
            result = write_mask(job, folder, advance)
            held.check()
            place = Place(target.store, target.storage, target.collection_id)
            store_result(place, folder, result.item.id, held, product.location)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _without_opening(target: Target, location: str, product: str) -> Outcome | None:
    item_id = plain_mask_id(product, target.model)
    outcome = Outcome(product, location, Status.PRESENT, item_id)
    if target.has(item_id):
        return outcome
    return replace(outcome, status=Status.WOULD_PUBLISH) if target.is_dry_run else None
