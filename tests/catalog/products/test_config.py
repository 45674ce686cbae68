"""The file of sources: what it may hold, and what is said of what it may not."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from kappamask_catalog.products import (
    Credentials,
    S3Settings,
    SourceConfig,
    find_source,
    load_sources,
    read_sources,
    shipped_sources,
)
from kappamask_catalog.sources import ReadOptions, S3Access
from kappamask_udf.errors import SourceError

FULL = """
[[source]]
id = "ours"
kind = "stac-api"
location = "https://stac.example.org/v1/"
collections = ["s2-l2a", "s2-l2a-old"]
level = "L2A"
offset = "applied"
timeout_s = 12.5
page_size = 50

[source.bands]
B02 = "blue"
B8A = "nir-narrow"

[source.credentials]
token = "OUR_TOKEN"
s3_access_key = "OUR_KEY"
s3_secret_key = "OUR_SECRET"

[source.s3]
endpoint = "https://s3.example.org"
region = "waw3-1"
requester_pays = true

[[source]]
id = "disk"
kind = "folder"
location = "products"
level = "L1C"
"""
MINIMAL = 'id = "a"\nkind = "folder"\nlocation = "p"\nlevel = "L1C"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sources.toml"


def test_read_sources_takes_all_keys(file: Path, tmp_path: Path) -> None:
    file.write_text(FULL)
    first, second = read_sources(file)
    assert first == SourceConfig(
        id="ours",
        kind="stac-api",
        location="https://stac.example.org/v1",
        level="L2A",
        collections=("s2-l2a", "s2-l2a-old"),
        bands={"B02": "blue", "B8A": "nir-narrow"},
        offset="applied",
        credentials=Credentials(
            token="OUR_TOKEN", s3_access_key="OUR_KEY", s3_secret_key="OUR_SECRET"
        ),
        s3=S3Settings("https://s3.example.org", "waw3-1", requester_pays=True),
        timeout_s=12.5,
        page_size=50,
    )
    assert second == SourceConfig("disk", "folder", str(tmp_path / "products"), "L1C")
    with pytest.raises(FrozenInstanceError):
        second.level = "L2A"  # type: ignore[misc]


def test_read_options_take_secrets_from_the_environment(file: Path) -> None:
    file.write_text(FULL)
    first, second = read_sources(file)
    options = first.read_options({"OUR_KEY": "k", "OUR_SECRET": "s3cret"})
    assert options.s3 == S3Access("k", "s3cret", None, "https://s3.example.org", "waw3-1", True)
    assert "s3cret" not in repr(options)
    assert options.offset == "applied"
    assert second.read_options({}) == ReadOptions()
    with pytest.raises(SourceError, match="source ours needs the environment variable OUR_SECRET"):
        first.read_options({"OUR_KEY": "k"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "is no TOML"),
        ("", r"must hold entries \[\[source\]\]"),
        ("[source]\nid = 1", r"must hold entries \[\[source\]\]"),
        ("source = [1]", "source 1: it must be a table"),
        (f"[[source]]\n{MINIMAL}[other]", "nothing else, found other"),
        (f"[[source]]\n{MINIMAL}[[source]]\n{MINIMAL}", "two sources with the id 'a'"),
        ("[[source]]\nkind = 'folder'", "source 1: id is missing"),
        ("[[source]]\nid = 'a b'", "source 1: id must be of letters"),
        ("[[source]]\nid = 'a'\nkind = 'ftp'", "source a: kind must be one of folder, catalog"),
        (f"[[source]]\n{MINIMAL}collections = ['x']", "collections must not be given"),
        (f"[[source]]\n{MINIMAL}timeout_s = 0", "timeout_s must be from 1 to 600, got 0"),
        (f"[[source]]\n{MINIMAL}timeout_s = nan", "timeout_s must be a number"),
        (f"[[source]]\n{MINIMAL}timeout_s = true", "timeout_s must be a number, got True"),
        (f"[[source]]\n{MINIMAL}page_size = 1.5", "page_size must be a whole number, got 1.5"),
        (f"[[source]]\n{MINIMAL}page_size = 5000", "page_size must be from 1 to 1000"),
        (f"[[source]]\n{MINIMAL}offset = 'none'", "offset must be one of metadata, applied"),
        (f"[[source]]\n{MINIMAL}pagesize = 5", "pagesize is no key that is known here"),
        (f"[[source]]\n{MINIMAL}[source.bands]\nB2 = 'x'", "bands.B2 is no band; bands are B01"),
        (f"[[source]]\n{MINIMAL}[source.bands]\nB02 = 2", "bands.B02 must be a text, got 2"),
        (f"[[source]]\n{MINIMAL}bands = 3", "bands must be a table"),
        (f"[[source]]\n{MINIMAL}[source.s3]\nregoin = 'x'", "s3.regoin is no key"),
        (f"[[source]]\n{MINIMAL}[source.s3]\nendpoint = 's3.x.org'", "s3.endpoint must be a URL"),
        (f"[[source]]\n{MINIMAL}[source.s3]\nrequester_pays = 1", "must be true or false"),
        (f"[[source]]\n{MINIMAL}[source.credentials]\nuser = 'A'", "password is needed: user and"),
        (
            f"[[source]]\n{MINIMAL}[source.credentials]\ns3_secret_key = 'A'",
            "s3_access_key is needed",
        ),
        (f"[[source]]\n{MINIMAL}[source.credentials]\nkey = 'A'", "credentials.key is no key"),
        (MINIMAL.replace('"L1C"', '"1C"').join(["[[source]]\n", ""]), "level must be one of"),
    ],
)
def test_read_sources_wrong_entry_names_file_entry_and_key(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        read_sources(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "location", "message"),
    [
        ("folder", "https://example.org", "location must be a path for a folder"),
        ("stac-api", "some/path", "must be a URL with http or https, got 'some/path'"),
        ("stac-api", "ftp://example.org", "must be a URL with http or https"),
        ("stac-api", "https://me:pass@example.org", "no user, password, query"),
        ("catalog", "https://example.org/?token=pass", "no user, password, query"),
        ("catalog", "s3://bucket/catalog.json", "must be a URL with http or https"),
    ],
)
def test_read_sources_wrong_location_says_so(
    file: Path, kind: str, location: str, message: str
) -> None:
    collections = 'collections = ["c"]\n' if kind == "stac-api" else ""
    file.write_text(
        f'[[source]]\nid = "a"\nkind = "{kind}"\nlocation = "{location}"\nlevel = "L1C"\n'
        f"{collections}"
    )
    with pytest.raises(SourceError, match=f"source a: location .*{message}|{message}") as caught:
        read_sources(file)
    assert "pass@" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_read_sources_secret_in_place_of_a_name_is_not_shown(file: Path) -> None:
    file.write_text(f'[[source]]\n{MINIMAL}[source.credentials]\ntoken = "eyJ.secret-value"')
    with pytest.raises(SourceError, match="must be the name of an environment variable") as caught:
        read_sources(file)
    assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "folder", "large", "binary"])
def test_read_sources_file_that_cannot_be_read_says_so(file: Path, kind: str) -> None:
    if kind == "folder":
        file.mkdir()
    elif kind == "large":
        file.write_bytes(b"#" * (2 << 20))
    elif kind == "binary":
        file.write_bytes(b"\xff\xfe")
    with pytest.raises(SourceError, match=r"cannot be read|is larger than|is no TOML"):
        read_sources(file)


def test_load_sources_named_file_goes_first(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    assert load_sources(data) == load_sources() == shipped_sources()
    (data / "sources.toml").write_text(f"[[source]]\n{MINIMAL}")
    assert [source.id for source in load_sources(data)] == ["a"]
    file.write_text(FULL)
    monkeypatch.setenv("KAPPAMASK_SOURCES_FILE", str(file))
    assert [source.id for source in load_sources(data)] == ["ours", "disk"]
    file.unlink()
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        load_sources(data)


def test_shipped_sources_are_those_of_two_catalogues() -> None:
    sources = {source.id: source for source in shipped_sources()}
    assert list(sources) == [
        "cdse-l1c", "cdse-l2a", "earth-search-l1c", "earth-search-c1-l2a", "earth-search-l2a",
    ]  # fmt: skip
    assert sources["cdse-l1c"].s3.endpoint == "https://eodata.dataspace.copernicus.eu"
    assert sources["earth-search-l1c"].s3.requester_pays
    assert sources["earth-search-l2a"].offset == "property"


def test_find_source_unknown_names_those_there_are() -> None:
    with pytest.raises(SourceError, match="no source 'x'; there are: cdse-l1c, cdse-l2a"):
        find_source("x", shipped_sources())
    assert find_source("cdse-l2a", shipped_sources()).level == "L2A"


def test_reference_page_lists_every_key() -> None:
    page = Path(__file__).parents[3] / "docs" / "reference" / "sources.md"
    text = page.read_text(encoding="utf-8")
    names = [
        field.name for kind in (SourceConfig, Credentials, S3Settings) for field in fields(kind)
    ]
    missing = [name for name in names if f"`{name}`" not in text]
    # Tables inside a source have headings of their own.
    assert missing == ["bands", "credentials", "s3"]
    assert all(f"[source.{name}]" in text for name in missing)
