"""Stages that run side by side: reading, inference and writing overlap in time, and what waits
between them is bounded, so memory is a function of settings and never of scene size.
"""

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

T = TypeVar("T")
_POLL_S = 0.05
"""How often a blocked stage looks whether it should stop; only while its neighbour is gone or
slow, so it costs nothing that counts."""


@dataclass(frozen=True)
class _Failure:
    error: BaseException


class _End:
    pass


class _Producer(Generic[T]):
    def __init__(self, items: Iterator[T], depth: int):
        self._items = items
        self._queue: Queue[T | _Failure | _End] = Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="stage", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._offer(item):
                    return
            self._offer(_End())
        except BaseException as error:
            self._offer(_Failure(error))
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def _offer(self, item: T | _Failure | _End) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False

    def take(self) -> T | _Failure | _End:
        while True:
            try:
                return self._queue.get(timeout=_POLL_S)
            except Empty:
                continue

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def run_ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """The items of an iterator, made in a thread of its own up to `depth` ahead of their use.

    An exception in the thread is raised here. When the generator is closed, or its user fails,
    the thread stops after the item it is at and the inner iterator is closed too.
    """
    producer = _Producer(items, depth)
    producer.start()
    try:
        while True:
            taken = producer.take()
            if isinstance(taken, _End):
                return
            if isinstance(taken, _Failure):
                raise taken.error
            yield taken
    finally:
        producer.stop()
