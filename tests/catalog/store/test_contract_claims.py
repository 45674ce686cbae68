"""What every store promises: claims, several threads and processes, and being killed."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from kappamask_catalog.store.base import OPERATOR, Claim, Store
from kappamask_udf.errors import ClaimLostError, InvalidDocumentError, NotInStoreError

from .child import N_ITEMS
from .items import find, make_collection, make_item, page_of
from .places import Place
from .processes import child, children, read_line

KEY = "masks/one"
SHORT_S = 0.05


def take(store: Store, key: str = KEY, **options: float) -> Claim:
    claim = store.try_claim(key, "me", **options)
    assert claim is not None
    return claim


def take_expired(store: Store) -> Claim:
    claim = take(store, seconds=SHORT_S)
    time.sleep(2 * SHORT_S)
    return claim


def test_claim_says_what_by_whom_and_until_when(store: Store) -> None:
    claim = store.try_claim(KEY, "host:123", seconds=60)
    assert claim is not None
    assert (claim.key, claim.holder) == (KEY, "host:123")
    left = claim.expires - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=61)
    assert store.list_claims() == [claim]


def test_claim_that_holds_is_nobody_elses(store: Store) -> None:
    take(store)
    assert store.try_claim(KEY, "other") is None
    assert store.try_claim("masks/two", "other") is not None


def test_claims_are_listed_by_key(store: Store) -> None:
    for key in ("b", "c", "a"):
        take(store, key)
    assert [claim.key for claim in store.list_claims()] == ["a", "b", "c"]


def test_expired_claim_is_free_and_not_listed(store: Store) -> None:
    first = take_expired(store)
    assert store.list_claims() == []
    second = take(store)
    assert second.token > first.token
    assert store.list_claims() == [second]


def test_renewed_claim_holds_longer(store: Store) -> None:
    claim = take(store, seconds=SHORT_S)
    renewed = store.renew_claim(claim, seconds=60)
    assert (renewed.key, renewed.token, renewed.holder) == (KEY, claim.token, "me")
    time.sleep(2 * SHORT_S)
    assert store.try_claim(KEY, "other") is None
    assert store.list_claims() == [renewed]


def test_expired_claim_that_nobody_took_can_be_renewed(store: Store) -> None:
    renewed = store.renew_claim(take_expired(store))
    assert store.try_claim(KEY, "other") is None
    store.upsert_items("masks", [make_item("one")], renewed)
    assert find(store) == ["one"]


def test_claim_that_was_taken_or_ended_cannot_be_renewed(store: Store) -> None:
    lost = take_expired(store)
    second = take(store)
    with pytest.raises(ClaimLostError, match=KEY):
        store.renew_claim(lost)
    store.release_claim(second)
    with pytest.raises(ClaimLostError, match=KEY):
        store.renew_claim(second)


def test_released_claim_is_free(store: Store) -> None:
    first = take(store)
    store.release_claim(first)
    assert store.list_claims() == []
    assert take(store).token > first.token


def test_release_of_a_lost_claim_leaves_the_new_one(store: Store) -> None:
    lost = take_expired(store)
    second = take(store)
    store.release_claim(lost)
    store.release_claim(lost)
    assert store.list_claims() == [second]


def test_tokens_grow_whatever_ends_a_claim(store: Store) -> None:
    tokens = []
    for _ in range(3):
        released = take(store)
        store.release_claim(released)
        published = take(store)
        store.upsert_items("masks", [make_item("one")], published)
        tokens += [released.token, published.token, take_expired(store).token]
    assert tokens == sorted(set(tokens))


def test_publishing_ends_the_claim(store: Store) -> None:
    claim = take(store)
    store.upsert_items("masks", [make_item("one")], claim)
    assert find(store) == ["one"]
    assert store.list_claims() == []
    with pytest.raises(ClaimLostError):
        store.upsert_items("masks", [make_item("one", gsd=20)], claim)
    assert page_of(store).items[0]["properties"]["gsd"] == 10


def test_lost_claim_cannot_publish(store: Store) -> None:
    lost = take_expired(store)
    second = take(store)
    with pytest.raises(ClaimLostError, match=KEY):
        store.upsert_items("masks", [make_item("one")], lost)
    assert find(store) == []
    assert store.list_claims() == [second]
    store.upsert_items("masks", [make_item("one")], second)
    assert find(store) == ["one"]


def test_expired_claim_cannot_publish(store: Store) -> None:
    with pytest.raises(ClaimLostError, match=KEY):
        store.upsert_items("masks", [make_item("one")], take_expired(store))
    assert find(store) == []


def test_claim_still_holds_where_publishing_failed(store: Store) -> None:
    claim = take(store)
    with pytest.raises(InvalidDocumentError):
        store.upsert_items("masks", [make_item("one"), make_item("")], claim)
    with pytest.raises(NotInStoreError):
        store.upsert_items("none", [make_item("one")], claim)
    assert store.list_claims() == [claim]
    store.upsert_items("masks", [make_item("one")], claim)


def test_claim_of_many_threads_is_got_by_one(store: Store) -> None:
    barrier = threading.Barrier(8)

    def race(number: int) -> list[Claim | None]:
        barrier.wait()
        return [store.try_claim(f"{KEY}-{round_}", f"thread {number}") for round_ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(race, range(8)))
    for round_ in range(5):
        assert sum(result[round_] is not None for result in results) == 1


def test_claim_of_many_processes_is_got_by_one(place: Place, store: Store) -> None:
    with children(place, "claim", [(KEY,)] * 5) as processes:
        said = [read_line(process) for process in processes]
        assert said.count("none") == 4
        (token,) = set(said) - {"none"}
        assert [claim.token for claim in store.list_claims()] == [int(token)]


def test_threads_write_and_read_at_once(store: Store) -> None:
    def work(number: int) -> int:
        for round_ in range(5):
            store.upsert_items("masks", [make_item(f"item-{number}-{round_}")])
            page = page_of(store, bbox=(13, 45, 14, 46))
            assert page.n_matched == len(page.items) > round_
        return number

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(work, range(6))) == list(range(6))
    assert page_of(store).n_matched == 30


def test_processes_write_at_once(place: Place, store: Store) -> None:
    with children(place, "write", [("x", "10"), ("y", "10"), ("z", "10")]) as processes:
        assert [process.wait() for process in processes] == [0, 0, 0]
    expected = {f"{prefix}-{number}" for prefix in "xyz" for number in range(10)}
    assert set(find(store)) == expected
    assert page_of(store).n_matched == 30


def test_processes_open_a_new_place_at_once(place: Place) -> None:
    with children(place, "open", [(f"masks-{number}",) for number in range(4)]) as processes:
        assert [process.wait() for process in processes] == [0] * 4
    store = place.open()
    listed = [one["id"] for one in store.list_collections(OPERATOR)]
    assert listed == [f"masks-{number}" for number in range(4)]
    store.close()


def test_reader_sees_whole_writes_only(place: Place, store: Store) -> None:
    with child(place, "rewrite") as process:
        read_line(process)
        for _ in range(30):
            page = page_of(store, bbox=(13, 45, 14, 46))
            assert page.n_matched == len(page.items) == N_ITEMS
            assert len({item["properties"]["gsd"] for item in page.items}) == 1


def test_store_is_whole_after_a_kill_in_the_middle_of_a_write(place: Place, store: Store) -> None:
    for round_ in range(3):
        with child(place, "rewrite") as process:
            read_line(process)
            # Another moment of the write each time.
            time.sleep(0.02 + 0.01 * round_)
            process.kill()
            process.wait()
        again = place.open()
        page = page_of(again)
        assert page.n_matched == len(page.items) == N_ITEMS
        assert len({item["properties"]["gsd"] for item in page.items}) == 1
        again.put_collection(*make_collection("masks"))
        again.close()
