"""Another process on the same store: `python -m tests.catalog.store.child KIND LOCATION ACTION`.

It says `ready`, waits for a line where the action has something to race for, and prints what
happened.
"""

import os
import sys
import time

from kappamask_catalog.store.base import Store

from .items import make_collection, make_item
from .places import Place

N_ITEMS = 20
"""Items of one write."""


def main(kind: str, location: str, action: str, *arguments: str) -> None:
    place = Place(kind, location)
    if action == "open":
        _wait()
        place.open().put_collection(*make_collection(arguments[0]))
        return
    store = place.open()
    ACTIONS[action](store, *arguments)


def claim(store: Store, key: str) -> None:
    """Print the token of the claim, or `none`."""
    _wait()
    found = store.try_claim(key, f"process {os.getpid()}")
    print("none" if found is None else found.token, flush=True)
    _wait_for_end()


def write(store: Store, prefix: str, n_writes: str) -> None:
    """Put items of its own, one by one."""
    _wait()
    for number in range(int(n_writes)):
        store.upsert_items("masks", [make_item(f"{prefix}-{number}")])


def rewrite(store: Store) -> None:
    """Replace the same items for ever, all of one write with the same `gsd`."""
    print("ready", flush=True)
    generation = 0
    while True:
        generation += 1
        items = [make_item(f"item-{number}", gsd=generation) for number in range(N_ITEMS)]
        store.upsert_items("masks", items)
        print(generation, flush=True)
        time.sleep(0)


def _wait() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def _wait_for_end() -> None:
    sys.stdin.read()


ACTIONS = {"claim": claim, "write": write, "rewrite": rewrite}

if __name__ == "__main__":
    main(*sys.argv[1:])
