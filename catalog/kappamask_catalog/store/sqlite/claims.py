"""Claims in the SQLite store: who makes which mask."""

import sqlite3

from kappamask_catalog.store.base import Claim
from kappamask_catalog.store.values import from_microseconds
from kappamask_udf.errors import ClaimLostError

_MICROSECONDS = 1_000_000


def take(
    connection: sqlite3.Connection, key: str, holder: str, now: int, seconds: float
) -> Claim | None:
    """A new claim, or `None` while another one holds; times in microseconds since 1970."""
    connection.execute("DELETE FROM claims WHERE key = ? AND expires <= ?", (key, now))
    expires = now + round(seconds * _MICROSECONDS)
    cursor = connection.execute(
        "INSERT OR IGNORE INTO claims (key, holder, expires) VALUES (?, ?, ?)",
        (key, holder, expires),
    )
    if cursor.rowcount == 0 or cursor.lastrowid is None:
        return None
    return Claim(key, cursor.lastrowid, holder, from_microseconds(expires))


def renew(connection: sqlite3.Connection, claim: Claim, now: int, seconds: float) -> Claim:
    """The claim with a new end; also one that has expired, as long as nobody took it."""
    expires = now + round(seconds * _MICROSECONDS)
    cursor = connection.execute(
        "UPDATE claims SET expires = ? WHERE key = ? AND token = ?",
        (expires, claim.key, claim.token),
    )
    if cursor.rowcount == 0:
        raise _lost(claim)
    return Claim(claim.key, claim.token, claim.holder, from_microseconds(expires))


def end_held(connection: sqlite3.Connection, claim: Claim, now: int) -> None:
    """End a claim that holds. Raises `ClaimLostError` if it does not."""
    cursor = connection.execute(
        "DELETE FROM claims WHERE key = ? AND token = ? AND expires > ?",
        (claim.key, claim.token, now),
    )
    if cursor.rowcount == 0:
        raise _lost(claim)


def end(connection: sqlite3.Connection, claim: Claim) -> None:
    """End a claim, if it is there."""
    connection.execute("DELETE FROM claims WHERE key = ? AND token = ?", (claim.key, claim.token))


def holding(connection: sqlite3.Connection, now: int) -> list[Claim]:
    """Claims that have not expired, by key."""
    rows = connection.execute(
        "SELECT key, token, holder, expires FROM claims WHERE expires > ? ORDER BY key", (now,)
    )
    return [
        Claim(key, token, holder, from_microseconds(expires))
        for key, token, holder, expires in rows
    ]


def _lost(claim: Claim) -> ClaimLostError:
    return ClaimLostError(
        f"the claim {claim.token} on {claim.key} has ended or was taken over; nothing was "
        "published, start again with a new claim"
    )
