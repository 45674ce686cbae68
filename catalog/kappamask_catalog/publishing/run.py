"""Many products published: some at a time, tried again, told about at the end."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from kappamask_catalog.publishing.publisher import (
    Candidate,
    InterruptedRunError,
    Outcome,
    Publisher,
    Status,
)
from kappamask_udf.errors import (
    AoiError,
    ClaimLostError,
    DeviceError,
    KappamaskError,
    LevelMismatchError,
    MissingBandError,
    MissingExtraError,
    ModelError,
    UnsafeArchiveError,
)

logger = logging.getLogger(__name__)

FINAL_ERRORS = (
    AoiError, DeviceError, LevelMismatchError, MissingBandError, MissingExtraError, ModelError,
    UnsafeArchiveError,
)  # fmt: skip
"""Errors that come again however often one tries."""
ATTEMPTS = 3
BACK_OFF_S = 2.0
"""Before the second try; twice as long before each one after."""
CLAIMED_POLL_S = 2.0
"""How long a product that somebody else makes is left alone before it is looked at again."""


Feed = Iterable[Candidate | None]
"""Products as they are found; `None` says that there is none right now but more may come."""


@dataclass(frozen=True)
class RunSetting:
    """How products are gone through."""

    parallel: int = 1
    attempts: int = ATTEMPTS
    back_off_s: float = BACK_OFF_S
    waits_for_others: bool = True
    """Whether products that somebody else makes are waited for, and made if that one dies."""


@dataclass
class RunReport:
    """What became of all products."""

    outcomes: list[Outcome] = field(default_factory=list)
    is_interrupted: bool = False

    @property
    def counts(self) -> dict[Status, int]:
        """Products by what became of them."""
        return dict(Counter(one.status for one in self.outcomes))

    @property
    def failures(self) -> list[Outcome]:
        """Products that failed."""
        return [one for one in self.outcomes if one.status is Status.FAILED]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "counts": {status.value: count for status, count in self.counts.items()},
            "interrupted": self.is_interrupted,
            "products": [
                {
                    "product": one.product,
                    "location": one.location,
                    "status": one.status.value,
                    "item": one.item_id,
                    "seconds": round(one.seconds, 2),
                    "attempts": one.attempts,
                    "reason": one.reason,
                }
                for one in self.outcomes
            ],
        }


@dataclass(frozen=True)
class _Try:
    candidate: Candidate
    attempt: int = 1
    not_before: float = 0.0


class PublishRun:
    """Goes through products with a few threads; what fails for a reason that may pass is tried
    again later, and what others make is looked at again until they are done or dead.
    """

    def __init__(
        self,
        publisher: Publisher,
        setting: RunSetting,
        done: Callable[[Outcome], None] | None = None,
    ):
        self._publisher, self._setting, self._done = publisher, setting, done
        self._later: deque[_Try] = deque()
        self._is_exhausted = False
        self.report = RunReport()

    def run(self, feed: Feed) -> RunReport:
        """Publish all; an interrupt ends what is under way and keeps what was published."""
        products = iter(feed)
        under_way: dict[Future[Outcome], _Try] = {}
        with ThreadPoolExecutor(self._setting.parallel, thread_name_prefix="publish") as pool:
            try:
                self._fill(pool, products, under_way)
                while under_way or self._later or not self._is_exhausted:
                    self._collect(under_way)
                    self._fill(pool, products, under_way)
            except KeyboardInterrupt:
                self.report.is_interrupted = True
                self._publisher.stop.set()
                self._collect_rest(under_way)
            except BaseException:
                self._publisher.stop.set()
                raise
        return self.report

    def _fill(
        self,
        pool: ThreadPoolExecutor,
        products: Iterator[Candidate | None],
        under_way: dict[Future[Outcome], _Try],
    ) -> None:
        while len(under_way) < self._setting.parallel:
            chosen = self._next(products)
            if chosen is None:
                return
            under_way[pool.submit(self._attempt, chosen)] = chosen

    def _next(self, products: Iterator[Candidate | None]) -> _Try | None:
        """New products first, then those that were put off for long enough."""
        if not self._is_exhausted:
            try:
                candidate = next(products)
            except StopIteration:
                self._is_exhausted = True
            else:
                if candidate is not None:
                    return _Try(candidate)
        now = time.monotonic()
        for _ in range(len(self._later)):
            chosen = self._later.popleft()
            if chosen.not_before <= now:
                return chosen
            self._later.append(chosen)
        return None

    def _attempt(self, chosen: _Try) -> Outcome:
        candidate = chosen.candidate
        failed = Outcome(
            candidate.name or candidate.location,
            candidate.location,
            Status.FAILED,
            attempts=chosen.attempt,
        )
        try:
            outcome = self._publisher.publish(candidate)
        except ClaimLostError as error:
            # Whoever took the claim over makes the mask.
            logger.warning("%s: %s", candidate.location, error)
            return replace(failed, status=Status.CLAIMED)
        except KappamaskError as error:
            is_last = isinstance(error, FINAL_ERRORS) or chosen.attempt >= self._setting.attempts
            if not is_last:
                logger.warning("%s: %s; trying again", candidate.location, error)
            reason = " ".join(str(error).split())
            return replace(failed, reason=reason if is_last else None)
        except InterruptedRunError:
            raise
        except Exception as error:
            # One product must not take the others with it.
            logger.exception("%s: an error of kappamask itself", candidate.location)
            return replace(failed, reason=f"an error of kappamask itself: {error!r}")
        return replace(outcome, attempts=chosen.attempt)

    def _collect(self, under_way: dict[Future[Outcome], _Try]) -> None:
        if not under_way:
            # All that is left was put off.
            time.sleep(min(CLAIMED_POLL_S, self._setting.back_off_s, 0.2))
            return
        finished, _ = wait(under_way, timeout=1.0, return_when=FIRST_COMPLETED)
        for future in finished:
            self._judge(future.result(), under_way.pop(future))

    def _judge(self, outcome: Outcome, chosen: _Try) -> None:
        now = time.monotonic()
        if outcome.status is Status.FAILED and outcome.reason is None:
            delay = self._setting.back_off_s * 2 ** (chosen.attempt - 1)
            self._later.append(_Try(chosen.candidate, chosen.attempt + 1, now + delay))
            return
        if outcome.status is Status.CLAIMED and self._setting.waits_for_others:
            self._later.append(replace(chosen, not_before=now + CLAIMED_POLL_S))
            return
        self.report.outcomes.append(outcome)
        if self._done is not None:
            self._done(outcome)

    def _collect_rest(self, under_way: dict[Future[Outcome], _Try]) -> None:
        for future, chosen in under_way.items():
            try:
                outcome = future.result()
            except InterruptedRunError:
                continue
            if outcome.status in (Status.PUBLISHED, Status.PRESENT):
                self._judge(outcome, chosen)
