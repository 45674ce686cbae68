"""Which collections of products there are: a TOML file, or what is shipped.

Secrets are never part of it, only the names of the environment variables that hold them.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

from kappamask_catalog.products.fields import Fields
from kappamask_catalog.sources.reading import OffsetRule, ReadOptions, S3Access
from kappamask_udf.bands import BANDS
from kappamask_udf.errors import SourceError
from kappamask_udf.pixels import Level

Kind = Literal["folder", "catalog", "stac-api"]

SOURCES_FILE_VARIABLE = "KAPPAMASK_SOURCES_FILE"
SOURCES_FILE = "sources.toml"
"""Name of the file beside the data."""
DEFAULT_TIMEOUT_S = 30.0
DEFAULT_PAGE_SIZE = 100
_MAX_TIMEOUT_S = 600.0
_MAX_PAGE_SIZE = 1000
_MAX_FILE_BYTES = 1 << 20
_REGION = "us-east-1"


@dataclass(frozen=True)
class Credentials:
    """Names of environment variables, never values."""

    token: str | None = None
    """Bearer token for the server of the catalog or API."""
    user: str | None = None
    """User for the same, with `password`."""
    password: str | None = None
    s3_access_key: str | None = None
    """For `s3:` links, with `s3_secret_key`."""
    s3_secret_key: str | None = None
    s3_session_token: str | None = None


@dataclass(frozen=True)
class S3Settings:
    """Where `s3:` links of the items lead."""

    endpoint: str | None = None
    """Address of the server with scheme; Amazon's by default."""
    region: str = _REGION
    requester_pays: bool = False
    """Whether the reader pays, and agrees to."""


@dataclass(frozen=True)
class SourceConfig:
    """One collection of products."""

    id: str
    """Name of the entry."""
    kind: Kind
    location: str
    """Path of a folder; path or URL of a catalog; URL of the root of a STAC API."""
    level: Level
    """Processing level of all its products."""
    collections: tuple[str, ...] = ()
    """Ids of STAC collections on that server; needed for an API."""
    bands: Mapping[str, str] = field(default_factory=dict)
    """Keys of assets by band name, where they are not found by themselves."""
    offset: OffsetRule = "property"
    """Where it is told whether the offset is in the numbers still."""
    credentials: Credentials = field(default_factory=Credentials)
    s3: S3Settings = field(default_factory=S3Settings)
    timeout_s: float = DEFAULT_TIMEOUT_S
    """Seconds for one answer."""
    page_size: int = DEFAULT_PAGE_SIZE
    """Items that an API is asked for at once."""

    def read_options(self, environ: Mapping[str, str] | None = None) -> ReadOptions:
        """How its products are read, with keys from the environment.

        Raises:
            SourceError: a variable that it names is not set.
        """
        names = self.credentials
        access = None
        if names.s3_access_key and names.s3_secret_key:
            token = names.s3_session_token
            access = S3Access(
                access_key=self.secret(names.s3_access_key, environ),
                secret_key=self.secret(names.s3_secret_key, environ),
                token=None if token is None else self.secret(token, environ),
                endpoint=self.s3.endpoint,
                region=self.s3.region,
                requester_pays=self.s3.requester_pays,
            )
        return ReadOptions(band_assets=self.bands, offset=self.offset, s3=access)

    def secret(self, name: str, environ: Mapping[str, str] | None = None) -> str:
        """The value of an environment variable. Raises `SourceError` if it is not set."""
        value = (os.environ if environ is None else environ).get(name)
        if not value:
            raise SourceError(
                f"source {self.id} needs the environment variable {name}, which is not set"
            )
        return value


def load_sources(data_folder: Path | None = None) -> tuple[SourceConfig, ...]:
    """The configured collections.

    Taken from the file that `KAPPAMASK_SOURCES_FILE` names, else from `sources.toml` in the data
    folder if there is one, else those that are shipped.

    Raises:
        SourceError: the file is named and not there, or something in it is wrong.
    """
    named = os.environ.get(SOURCES_FILE_VARIABLE)
    if named:
        return read_sources(Path(named))
    beside = None if data_folder is None else data_folder / SOURCES_FILE
    if beside is not None and beside.is_file():
        return read_sources(beside)
    return shipped_sources()


def read_sources(path: Path) -> tuple[SourceConfig, ...]:
    """The collections in a TOML file. Relative paths in it start from its folder.

    Raises:
        SourceError: it cannot be read, or names what is wrong with which key of which entry.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise SourceError(f"{path} is larger than {_MAX_FILE_BYTES >> 20} MiB; no such file is")
    return _parse(data, str(path), path.absolute().parent)


def shipped_sources() -> tuple[SourceConfig, ...]:
    """Ready entries for public catalogues: Copernicus Data Space and Earth Search."""
    folder = files("kappamask_catalog.products") / "examples"
    found: list[SourceConfig] = []
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".toml"):
            found.extend(_parse(file.read_bytes(), file.name, Path.cwd()))
    return tuple(found)


def find_source(source_id: str, sources: tuple[SourceConfig, ...]) -> SourceConfig:
    """The entry of that name. Raises `SourceError` if there is none."""
    for source in sources:
        if source.id == source_id:
            return source
    known = ", ".join(source.id for source in sources) or "none"
    raise SourceError(f"there is no source {source_id!r}; there are: {known}")


def _parse(data: bytes, name: str, folder: Path) -> tuple[SourceConfig, ...]:
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{name} is no TOML: {error}") from error
    entries = document.pop("source", None)
    if document or not isinstance(entries, list) or not entries:
        other = f", found {', '.join(sorted(document))}" if document else ""
        raise SourceError(f"{name} must hold entries [[source]] and nothing else{other}")
    sources = tuple(
        _parse_source(entry, f"{name}, source {number}", folder)
        for number, entry in enumerate(entries, 1)
    )
    ids = [source.id for source in sources]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    if twice is not None:
        raise SourceError(f"{name} has two sources with the id {twice!r}; rename one")
    return sources


def _parse_source(entry: Any, where: str, folder: Path) -> SourceConfig:
    fields = Fields(entry, where)
    source_id = fields.identifier("id")
    fields.where = f"{where.rpartition(', ')[0]}, source {source_id}"
    kind = cast(Kind, fields.choice("kind", ("folder", "catalog", "stac-api")))
    collections = fields.texts("collections")
    if kind == "stac-api" and not collections:
        raise fields.wrong("collections", "must name at least one collection of the API")
    if kind == "folder" and collections:
        raise fields.wrong("collections", "must not be given for a folder")
    config = SourceConfig(
        id=source_id,
        kind=kind,
        location=_location(fields, kind, folder),
        level=cast(Level, fields.choice("level", ("L1C", "L2A"))),
        collections=collections,
        bands=_bands(fields.table("bands")),
        offset=cast(
            OffsetRule, fields.choice("offset", ("metadata", "applied", "property"), "property")
        ),
        credentials=_credentials(fields.table("credentials")),
        s3=_s3(fields.table("s3")),
        timeout_s=fields.number("timeout_s", DEFAULT_TIMEOUT_S, 1, _MAX_TIMEOUT_S),
        page_size=int(
            fields.number("page_size", DEFAULT_PAGE_SIZE, 1, _MAX_PAGE_SIZE, is_whole=True)
        ),
    )
    fields.finish()
    return config


def _location(fields: Fields, kind: Kind, folder: Path) -> str:
    location = fields.text("location")
    if "://" in location:
        if kind == "folder":
            raise fields.wrong("location", "must be a path for a folder")
        return fields.address("location", location)
    if kind == "stac-api":
        raise fields.wrong("location", f"must be a URL with http or https, got {location!r}")
    return str(folder / Path(location).expanduser())


def _bands(fields: Fields) -> dict[str, str]:
    bands = {name: fields.text(name) for name in fields.names()}
    for name in bands:
        if name not in BANDS:
            raise fields.wrong(name, f"is no band; bands are {', '.join(BANDS)}")
    return bands


def _credentials(fields: Fields) -> Credentials:
    names = (
        "token", "user", "password", "s3_access_key", "s3_secret_key", "s3_session_token",
    )  # fmt: skip
    told = {name: fields.variable(name) for name in names}
    fields.finish()
    for first, second in (("user", "password"), ("s3_access_key", "s3_secret_key")):
        if (told[first] is None) != (told[second] is None):
            missing = second if told[second] is None else first
            raise fields.wrong(missing, f"is needed: {first} and {second} go together")
    if told["token"] and told["user"]:
        raise fields.wrong("token", "must not be given with user and password; choose one")
    if told["s3_session_token"] and not told["s3_access_key"]:
        raise fields.wrong("s3_session_token", "needs s3_access_key and s3_secret_key")
    return Credentials(**told)


def _s3(fields: Fields) -> S3Settings:
    endpoint = fields.optional_text("endpoint")
    settings = S3Settings(
        endpoint=None if endpoint is None else fields.address("endpoint", endpoint),
        region=fields.optional_text("region") or _REGION,
        requester_pays=fields.flag("requester_pays"),
    )
    fields.finish()
    return settings
