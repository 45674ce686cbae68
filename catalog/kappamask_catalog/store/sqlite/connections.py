"""Connections to one SQLite file: one per thread, with transactions and errors in our words."""

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kappamask_catalog.store.sqlite.functions import register_functions
from kappamask_catalog.store.sqlite.schema import migrate
from kappamask_udf.errors import InvalidQueryError, StoreError

BUSY_SECONDS = 30.0
"""How long a write waits for those of others."""
_CACHE_KIB = 16 * 1024
"""Pages that each connection keeps."""
_MODE = 0o600


class _Handle:
    """A connection that is closed when its thread is gone."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.process = os.getpid()

    def close(self) -> None:
        # SQLite forbids a child to use what it inherited, even to close it.
        if self.process == os.getpid():
            with suppress(sqlite3.Error):
                self.connection.close()

    def __del__(self) -> None:
        self.close()


class Connections:
    """Gives each thread its own connection to a file, which is made if it is not there.

    Raises:
        StoreError: the file cannot be opened or is no store of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._handles: weakref.WeakSet[_Handle] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._is_closed = False
        self._create_file()
        with self.errors():
            # Before anything is changed in a file that may be another program's.
            connection = self._connect()
            try:
                migrate(connection, str(path))
            finally:
                connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on one state of the database, whatever others write meanwhile."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that alone may write, until the block ends; an error undoes all of it."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's errors become those of the store."""
        try:
            yield
        except sqlite3.Error as error:
            code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
            if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StoreError(
                    f"{self.path} has been locked by others for {BUSY_SECONDS:g} seconds; try again"
                ) from error
            if code == sqlite3.SQLITE_NOTADB:
                raise StoreError(
                    f"{self.path} is not a SQLite database; name another file"
                ) from error
            if code == sqlite3.SQLITE_CORRUPT:
                raise StoreError(
                    f"{self.path} is damaged ({error}); bring it back from a copy"
                ) from error
            raise StoreError(f"{self.path} cannot be read or written: {error}") from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise InvalidQueryError(f"a value cannot be looked for: {error}") from error

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            self._is_closed = True
            for handle in list(self._handles):
                handle.close()
            self._handles.clear()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self.errors():
            connection = self._get()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _create_file(self) -> None:
        """An empty file that only its owner may read; SQLite's own files beside it follow."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, _MODE))
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be opened as a store: {error.strerror}; name a file in a "
                "folder that can be written"
            ) from error

    def _get(self) -> sqlite3.Connection:
        handle: _Handle | None = getattr(self._local, "handle", None)
        if self._is_closed:
            raise StoreError(f"the store {self.path} has been closed")
        if handle is None or handle.process != os.getpid():
            # The inherited one is kept: it belongs to the parent.
            self._local.inherited = handle
            handle = self._local.handle = _Handle(self._open())
            with self._lock:
                self._handles.add(handle)
        return handle.connection

    def _connect(self) -> sqlite3.Connection:
        # Transactions are ours (isolation_level); other threads only close it.
        return sqlite3.connect(
            self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            _use_write_ahead_log(connection, self.path)
            # What was published survives a power cut; masks are few, so the sync does not count.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            register_functions(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """Readers do not wait for the writer. Tried again, since SQLite does not wait by itself here
    when several processes open a new file at once.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise StoreError(
            f"{path} cannot have a write-ahead log, maybe since it is on a network folder; name a "
            "file on a disk of this machine"
        )
