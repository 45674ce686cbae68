"""The site builds without a warning, from what is there, and needs nothing from elsewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .blocks import ROOT

MARKER = "<!-- generate: "


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a build with a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


class LoadedFiles(HTMLParser):
    """Addresses that a browser fetches to show a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in ("script", "img", "iframe", "source"):
            self.found.append(values.get("src") or "")
        elif tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.found.append(values.get("href") or "")


def test_site_pages_load_nothing_from_elsewhere(site: Path) -> None:
    parser = LoadedFiles()
    for page in site.rglob("*.html"):
        parser.feed(page.read_text(encoding="utf-8"))
    assert [url for url in parser.found if re.match(r"(https?:)?//", url)] == []


def test_site_pages_have_no_marker_left(site: Path) -> None:
    assert [page for page in site.rglob("*.html") if MARKER in page.read_text()] == []


def test_site_command_line_page_names_every_option(site: Path) -> None:
    page = (site / "reference" / "command-line" / "index.html").read_text(encoding="utf-8")
    assert "--aoi" in page
    assert "kappamask models verify" in page
    assert "kappamask benchmark make-product" in page


def test_site_has_no_programs_of_ours(site: Path) -> None:
    assert list(site.rglob("*.py")) == []
