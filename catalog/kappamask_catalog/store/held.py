"""Claims that are kept alive while work goes on, and short locks made of them."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from kappamask_catalog.store.base import CLAIM_SECONDS, Claim, Store
from kappamask_udf.errors import ClaimLostError, StoreError

_BEATS_PER_CLAIM = 4
"""Heartbeats while a claim holds, so that three may fail before it ends."""
_LOCK_POLL_S = 0.05


def holder_name() -> str:
    """Who holds a claim: host and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


class HeldClaim:
    """A claim with a heartbeat in a thread of its own; a context manager.

    On leaving, a claim that was not ended by publication is given back.
    """

    def __init__(self, store: Store, claim: Claim, seconds: float = CLAIM_SECONDS):
        self._store, self._seconds = store, seconds
        self.claim = claim
        self._end = threading.Event()
        self._lost: ClaimLostError | None = None
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self._store.release_claim(self.claim)

    def check(self) -> None:
        """Raise `ClaimLostError` if the claim is somebody else's by now."""
        if self._lost is not None:
            raise self._lost

    def _beat(self) -> None:
        deadline = time.monotonic() + self._seconds
        while not self._end.wait(self._seconds / _BEATS_PER_CLAIM):
            try:
                self.claim = self._store.renew_claim(self.claim, self._seconds)
                deadline = time.monotonic() + self._seconds
            except ClaimLostError as error:
                self._lost = error
                return
            except StoreError as error:
                # The store may be back before the claim ends.
                if time.monotonic() > deadline:
                    self._lost = ClaimLostError(
                        f"the claim on {self.claim.key} could not be renewed in time: {error}"
                    )
                    return


@contextmanager
def lock(store: Store, key: str, seconds: float = CLAIM_SECONDS) -> Iterator[None]:
    """Wait for a claim and hold it for something that takes far less time than the claim.

    Raises:
        StoreError: nobody gave it back for three times as long as a claim holds.
    """
    deadline = time.monotonic() + 3 * seconds
    while (claim := store.try_claim(key, holder_name(), seconds)) is None:
        if time.monotonic() > deadline:
            raise StoreError(f"{key} has been locked for {3 * seconds:g} s; try again")
        time.sleep(_LOCK_POLL_S)
    try:
        yield
    finally:
        store.release_claim(claim)
