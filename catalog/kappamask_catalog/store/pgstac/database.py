"""Connections to PostgreSQL, and what its errors mean.

Nothing of psycopg leaves this module: what the server refuses becomes the error that the caller
names, everything else a `StoreError`. Messages name server and database, never user or password.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from kappamask_udf.errors import StoreError

logger = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]
Result = TypeVar("Result")

CONNECT_SECONDS = 10
ATTEMPTS = 5
"""How often a transaction is run that came across another: pgstac rebuilds the constraints of a
partition when items from outside its range arrive, and other tools may load items meanwhile."""
EXPECTED_DSN = "expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"

SETTINGS = {
    # pgstac names its tables without schema.
    "search_path": "pgstac, public",
    "TimeZone": "UTC",
    # Both are for reports of minutes. A search of 4 ms took 14 ms with a worker of its own.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}

REFUSED_STATES = (
    "22",  # a value cannot be converted
    "23",  # a constraint does not hold
    "42601",  # the condition that pgstac built is no SQL
    "42703",
    "42725",
    "42804",
    "42846",
    "42883",  # an operator does not exist for these types
    "54",  # too deep or too long
    "P0001",  # pgstac's own RAISE EXCEPTION
    "XX000",  # how PostGIS refuses a geometry
)
"""SQLSTATEs, or how they begin, that are due to what was asked. Source: PostgreSQL, appendix A."""


@dataclass(frozen=True)
class Address:
    """Where a database is, in words that may be shown."""

    host: str
    port: str
    database: str

    def __str__(self) -> str:
        return f"PostgreSQL at {self.host}:{self.port}, database {self.database}"


def parse_dsn(dsn: str) -> tuple[str, Address]:
    """Connection parameters for libpq, and the part of them that may be shown.

    Raises:
        StoreError: it cannot be understood; what was given is not repeated.
    """
    try:
        parameters: dict[str, Any] = conninfo_to_dict(dsn)
    except psycopg.Error:
        # libpq's message quotes the text, password and all.
        raise StoreError(
            f"the address of the database cannot be understood; {EXPECTED_DSN}"
        ) from None
    host = str(parameters.get("host") or parameters.get("hostaddr") or "localhost")
    if "@" in host:
        raise StoreError(
            "the password in the address of the database holds an '@'; write it as %40"
        ) from None
    parameters.setdefault("connect_timeout", CONNECT_SECONDS)
    parameters.setdefault("application_name", "kappamask")
    address = Address(
        host, str(parameters.get("port") or "5432"), str(parameters.get("dbname") or "(default)")
    )
    return make_conninfo(**parameters), address


def one_line(error: BaseException) -> str:
    """What an error says, without details, in one line."""
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((text or str(error)).split())


def is_refusal(error: BaseException) -> bool:
    """Whether an error is due to the values that were sent."""
    if isinstance(error, UnicodeEncodeError):
        return True
    state = error.sqlstate if isinstance(error, psycopg.Error) else None
    if state is None:  # psycopg itself refused a value, such as a text with a NUL
        return isinstance(error, psycopg.DataError)
    return state.startswith(REFUSED_STATES)


def is_collision(error: psycopg.Error) -> bool:
    """Whether an error is due to what another transaction did meanwhile."""
    if isinstance(error, errors.InternalError_ | errors.UndefinedTable):
        # A partition was dropped with its collection after the statement had been planned.
        signs = ("could not open relation", "cache lookup failed", 'relation "_items_')
        return one_line(error).startswith(signs)
    return isinstance(
        error, errors.DeadlockDetected | errors.SerializationFailure | errors.CheckViolation
    )


@contextmanager
def translated(
    address: Address,
    refused: type[StoreError] = StoreError,
    rights: str = "give the user the role pgstac_ingest",
) -> Iterator[None]:
    """Turn errors of psycopg into ours.

    Args:
        address: for the message.
        refused: raised where the values that were sent are the reason.
        rights: what to do where the user may not do something.
    """
    try:
        yield
    except PoolTimeout as error:
        raise StoreError(
            f"{address}: no connection in time; it is down, or all connections are in use"
        ) from error
    except PoolClosed as error:
        raise StoreError(f"{address}: the store has been closed") from error
    except errors.QueryCanceled as error:
        raise StoreError(f"{address}: took too long and was stopped; ask for less") from error
    except errors.InsufficientPrivilege as error:
        raise StoreError(f"{address}: {one_line(error)}; {rights}") from error
    except (psycopg.Error, UnicodeEncodeError) as error:
        if is_refusal(error):
            raise refused(f"refused by the database: {one_line(error)}") from error
        raise StoreError(f"{address}: {one_line(error)}") from error


def connect(conninfo: str, address: Address) -> Connection:
    """One connection in autocommit mode, outside the pool."""
    with translated(address):
        return psycopg.connect(conninfo, autocommit=True)


class Database:
    """A pool of connections that all have the same settings."""

    def __init__(
        self,
        dsn: str,
        *,
        min_connections: int,
        max_connections: int,
        wait_s: float,
        statement_s: float,
    ) -> None:
        conninfo, self.address = parse_dsn(dsn)
        self._statement_s = statement_s
        self._wait_s = wait_s
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            conninfo,
            connection_class=psycopg.Connection[tuple[Any, ...]],
            min_size=min_connections,
            max_size=max_connections,
            timeout=wait_s,
            # A connection that died while it was idle is replaced before it is handed out.
            check=ConnectionPool.check_connection,
            configure=self._configure,
            open=False,
        )

    def open(self) -> None:
        """Begin to connect; returns at once."""
        self._pool.open()

    def close(self) -> None:
        """End all connections."""
        self._pool.close()

    def run(
        self,
        work: Callable[[Connection], Result],
        refused: type[StoreError] = StoreError,
        *,
        is_read_only: bool = False,
    ) -> Result:
        """What `work` returns, run in one transaction.

        Args:
            work: gets the connection; run again if the transaction came across another.
            refused: raised where the values that were sent are the reason.
            is_read_only: sees one state of the database throughout, and cannot change it.

        Raises:
            StoreError: the server is not there or cannot do it.
        """
        with translated(self.address, refused):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    return self._run_once(work, is_read_only)
                except psycopg.Error as error:
                    if attempt == ATTEMPTS or not is_collision(error):
                        raise
                    logger.info("transaction is run again: %s", one_line(error))
                    time.sleep(0.05 * attempt)
        raise AssertionError("unreachable")

    def _run_once(self, work: Callable[[Connection], Result], is_read_only: bool) -> Result:
        with self._pool.connection() as connection:
            connection.read_only = is_read_only
            connection.isolation_level = (
                psycopg.IsolationLevel.REPEATABLE_READ if is_read_only else None
            )
            return work(connection)

    def _configure(self, connection: Connection) -> None:
        set_json_loads(orjson.loads, connection)
        for name, value in {
            **SETTINGS,
            "statement_timeout": str(int(self._statement_s * 1000)),
        }.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        connection.commit()
