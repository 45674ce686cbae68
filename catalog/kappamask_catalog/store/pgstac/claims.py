"""Claims as rows, by the clock of the database.

A statement that changes a claim locks its row, so of many processes one wins and the others see
what it did. `clock_timestamp()` rather than `now()`: whoever waited for the lock must not decide
by the time at which the wait began.
"""

from typing import Any

from kappamask_catalog.store.base import Claim
from kappamask_catalog.store.pgstac.database import Connection
from kappamask_udf.errors import ClaimLostError

COLUMNS = "key, token, holder, expires"

TRY = f"""
INSERT INTO kappamask.claims AS c ({COLUMNS})
VALUES (%(key)s, 1, %(holder)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (key) DO UPDATE SET
    token = c.token + 1,
    holder = excluded.holder,
    expires = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE c.expires IS NULL OR c.expires <= clock_timestamp()
RETURNING {COLUMNS}
"""

RENEW = f"""
UPDATE kappamask.claims
SET expires = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE key = %(key)s AND token = %(token)s AND expires IS NOT NULL
RETURNING {COLUMNS}
"""

END = """
UPDATE kappamask.claims SET expires = NULL WHERE key = %(key)s AND token = %(token)s
"""

HOLDS = """
SELECT token = %(token)s AND expires > clock_timestamp()
FROM kappamask.claims WHERE key = %(key)s FOR UPDATE
"""

LIST = f"""
SELECT {COLUMNS} FROM kappamask.claims
WHERE expires > clock_timestamp() ORDER BY key COLLATE "C"
"""


def try_claim(connection: Connection, key: str, holder: str, seconds: float) -> Claim | None:
    """A claim with the next token of its key, or `None` if somebody holds one."""
    values = {"key": key, "holder": holder, "seconds": seconds}
    row = connection.execute(TRY, values).fetchone()
    return None if row is None else _claim(row)


def renew_claim(connection: Connection, claim: Claim, seconds: float) -> Claim:
    """The same claim for longer. Raises `ClaimLostError` if it was taken or ended."""
    values = {"key": claim.key, "token": claim.token, "seconds": seconds}
    row = connection.execute(RENEW, values).fetchone()
    if row is None:
        raise lost(claim)
    return _claim(row)


def end_claim(connection: Connection, claim: Claim) -> None:
    """End it if it still is this one."""
    connection.execute(END, {"key": claim.key, "token": claim.token})


def hold_claim(connection: Connection, claim: Claim) -> None:
    """Keep everybody from taking the claim until the transaction ends.

    Raises:
        ClaimLostError: it does not hold any more.
    """
    values = {"key": claim.key, "token": claim.token}
    if connection.execute(HOLDS, values).fetchone() != (True,):
        raise lost(claim)


def list_claims(connection: Connection) -> list[Claim]:
    """Claims that have not expired, by key."""
    return [_claim(row) for row in connection.execute(LIST)]


def lost(claim: Claim) -> ClaimLostError:
    """What to raise for a claim that does not hold."""
    return ClaimLostError(
        f"claim {claim.token} on {claim.key} has ended or is somebody else's by now;"
        " what was made under it is not published"
    )


def _claim(row: tuple[Any, ...]) -> Claim:
    key, token, holder, expires = row
    return Claim(key, token, holder, expires)
