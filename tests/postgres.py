"""A real PostgreSQL with PostGIS for the tests that need one.

One server runs for all tests of a session, in a temporary folder, on a free port, with one
database that is emptied after each test.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kappamask_catalog.store.pgstac import migrate

REQUIRED = "KAPPAMASK_TEST_REQUIRE"
"""Environment variable; `postgres` in it makes tests fail where the server is not installed."""
HOW_TO_INSTALL = (
    "PostgreSQL with PostGIS is not installed; on Debian: apt-get install postgresql postgis"
    " postgresql-postgis"
)
OWNER = "kappamask_owner"
PASSWORD = "s3cr:t/w@rd"
"""Of all users; with characters that must be escaped in an address."""
PASSWORD_IN_URL = "s3cr%3At%2Fw%40rd"
EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid();
SELECT pgstac.delete_collection(id) FROM pgstac.collections;
TRUNCATE kappamask.claims;
"""
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "timezone": "Asia/Kolkata",  # not UTC, so that who forgets it is found
}

# Read when this module is imported: a fixture removes such variables before each test.
_required = os.environ.get(REQUIRED, "")


@cache
def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, if PostGIS is there too."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    folders += sorted(installed, key=lambda path: int(path.parent.name), reverse=True)
    for folder in folders:
        if not (folder / "postgres").exists() or not (folder / "pg_config").exists():
            continue
        output = subprocess.run(
            [folder / "pg_config", "--sharedir"], capture_output=True, text=True, check=True
        ).stdout.strip()
        if Path(output, "extension/postgis.control").exists():
            return folder
    return None


@dataclass
class PostgresServer:
    """A running server."""

    binaries: Path
    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def dsn(self, database: str, user: str = OWNER) -> str:
        """The address of a database, with password."""
        return f"postgresql://{user}:{PASSWORD_IN_URL}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run something as superuser."""
        dsn = self.dsn(database, "postgres")
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create_database(self, template: str = "template1", owner: str = OWNER) -> str:
        """A new database; its name."""
        name = f"test_{next(self.numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} OWNER {owner} STRATEGY file_copy")
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database and end its connections."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def prepare(self) -> None:
        """Make the files of the server."""
        secret = self.folder / "password"
        secret.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, secret):
                shutil.chown(path, "postgres", "postgres")
        options = ["-U", "postgres", "--pwfile", secret, "-A", "scram-sha-256", "-E", "UTF8"]
        self._call("initdb", "-D", self.folder / "data", *options, "--locale=C", "--no-sync")

    def start(self) -> None:
        """Start on the port it had, or on a free one."""
        for _ in range(20):
            self.port = self.port or random.randrange(20_000, 30_000)
            if self._try_to_start():
                return
            self.port = 0
        raise RuntimeError(f"PostgreSQL does not start: {self._log()}")

    def stop(self) -> None:
        """Stop at once, as for a restart: all connections end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None

    def _try_to_start(self) -> bool:
        folders = ["-D", self.folder / "data", "-k", self.folder, "-h", "127.0.0.1"]
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.binaries / "postgres", *folders, "-p", str(self.port), *settings],
                stdout=log,
                stderr=log,
                **self._user(),
            )
        end = time.monotonic() + 60
        while self.process.poll() is None and time.monotonic() < end:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return True
        self.stop()
        return False

    def _call(self, program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [self.binaries / program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            **self._user(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {done.stderr}")

    def _user(self) -> dict[str, Any]:
        # The server refuses to run as root.
        root = {"user": "postgres", "group": "postgres", "extra_groups": [], "cwd": self.folder}
        return root if os.geteuid() == 0 else {}

    def _log(self) -> str:
        return (self.folder / "log").read_text()[-2000:]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server; skips, or fails where it is required, if it is not installed."""
    binaries = find_binaries()
    if binaries is None:
        if "postgres" in _required:
            pytest.fail(HOW_TO_INSTALL)
        pytest.skip(HOW_TO_INSTALL)
    # Short, since the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="km-pg-"))
    server = PostgresServer(binaries, folder)
    try:
        server.prepare()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgis_template(postgres_server: PostgresServer) -> str:
    """A database with PostGIS that belongs to a user who is no superuser."""
    server = postgres_server
    server.execute(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{PASSWORD}'")
    server.execute(f"CREATE DATABASE postgis_template OWNER {OWNER}")
    server.execute("CREATE EXTENSION postgis", "postgis_template")
    return "postgis_template"


@pytest.fixture(scope="session")
def pgstac_database(postgres_server: PostgresServer, postgis_template: str) -> str:
    """A database in which the migrations were run by its owner."""
    name = postgres_server.create_database(postgis_template)
    migrate(postgres_server.dsn(name))
    return name


@pytest.fixture
def pgstac_dsn(postgres_server: PostgresServer, pgstac_database: str) -> Iterator[str]:
    """The address of a migrated database; what the test puts into it is removed afterwards."""
    yield postgres_server.dsn(pgstac_database)
    postgres_server.execute(EMPTY, pgstac_database)


@pytest.fixture(scope="module")
def pgstac_module_dsn(postgres_server: PostgresServer, postgis_template: str) -> Iterator[str]:
    """The address of a migrated database for the tests of one module, which keep what is in it."""
    name = postgres_server.create_database(postgis_template)
    migrate(postgres_server.dsn(name))
    yield postgres_server.dsn(name)
    postgres_server.drop_database(name)


@pytest.fixture
def postgis_dsn(postgres_server: PostgresServer, postgis_template: str) -> Iterator[str]:
    """The address of a new database with PostGIS and nothing else."""
    name = postgres_server.create_database(postgis_template)
    yield postgres_server.dsn(name)
    postgres_server.drop_database(name)
