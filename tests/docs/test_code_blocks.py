"""Code in the documentation does what the pages say."""

import doctest
import json
import logging
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from kappamask_backend.cli import app

from .blocks import DOCS, PAGES, ROOT, Block, Command, expand_globs, read_blocks, read_commands

BLOCKS = [block for page in PAGES for block in read_blocks(page)]
LANGUAGES = {"python", "bash", "console", "json", "toml", "text", "sql"}
# Programs that a page may name and that no test runs: they install, build or open something.
OTHER_PROGRAMS = {
    "curl", "export", "make", "pip", "source", "git", "pre-commit", "python3",
}  # fmt: skip
RUN_LANGUAGES = {"python", "bash", "console"}
RUN_PAGES = [
    page
    for page in PAGES
    if page.is_relative_to(DOCS)
    and any(block.language in RUN_LANGUAGES for block in read_blocks(page))
]


@pytest.fixture(autouse=True)
def restored_process() -> Iterator[None]:
    """Commands set up logging and signals for a process of their own."""
    root, before = logging.getLogger(), signal.getsignal(signal.SIGTERM)
    handlers, level = list(root.handlers), root.level
    yield
    signal.signal(signal.SIGTERM, before)
    root.handlers[:], root.level = handlers, level


def test_blocks_all_pages_have_a_known_language() -> None:
    assert [str(block) for block in BLOCKS if block.language not in LANGUAGES] == []


def test_blocks_all_fences_are_found() -> None:
    fences = sum(page.read_text().count("```") for page in PAGES)
    assert fences == 2 * len(BLOCKS)


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_examples_run_as_described(page: Path, in_examples_folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    for block in read_blocks(page):
        if block.title and block.title != "pyproject.toml":
            target = in_examples_folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text)
        elif block.language == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            if not block.is_parsed_only:
                exec(code, names)
        elif block.language in ("bash", "console") and not block.is_parsed_only:
            for command in read_commands(block):
                run_command(block, command)


def run_command(block: Block, command: Command) -> None:
    """Run a `kappamask` line; compare output and exit code with what the page shows."""
    program, *arguments = command.words
    if program != "kappamask":
        return
    expected = command.expected
    result = CliRunner().invoke(app, expand_globs(arguments), prog_name="kappamask")
    assert result.exception is None or isinstance(result.exception, SystemExit), (
        f"{block}: {' '.join(command.words)} raised {result.exception!r}"
    )
    code = 0
    if expected is not None:
        code = 1 if "error: " in expected else 2 if "Usage: " in expected else 0
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        is_as_shown = doctest.OutputChecker().check_output(expected, result.output, flags)
        assert is_as_shown, f"{block}: expected\n{expected}\ngot\n{result.output}"
    assert result.exit_code == code, f"{block}: {' '.join(command.words)}\n{result.output}"


COMMANDS = [
    pytest.param(command.words, id=f"{block} {' '.join(command.words)}")
    for block in BLOCKS
    if block.language in ("bash", "console")
    for command in read_commands(block)
]


@pytest.mark.parametrize("words", COMMANDS)
def test_command_line_names_what_exists(words: list[str]) -> None:
    program, arguments = Path(words[0]).name, words[1:]
    if program == "kappamask":
        assert_parses(arguments)
    elif program == "make":
        targets = [word for word in arguments if "=" not in word]
        assert set(targets) <= makefile_targets()
    elif program == "pip":
        assert extras_in(arguments) <= set(project_extras())
    else:
        assert program in OTHER_PROGRAMS


def assert_parses(arguments: list[str]) -> None:
    """The command exists and every option has a value that it takes."""
    command: Any = typer.main.get_command(app)
    rest = list(arguments)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    wanted_failure = "--resolution" in rest and "30" in rest
    if "--help" in rest or wanted_failure:
        return
    command.make_context("kappamask", rest)


def makefile_targets() -> set[str]:
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {line.split(":")[0] for line in lines if line[:1].isalpha() and ":" in line}


def project_extras() -> dict[str, Any]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, Any] = project["optional-dependencies"]
    return extras


def extras_in(arguments: list[str]) -> set[str]:
    """Extras of openeo-kappamask that a pip command names."""
    own = [word for word in arguments if word.startswith(("openeo-kappamask[", ".["))]
    return {extra for word in own for extra in word[word.index("[") + 1 : -1].split(",")}


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language in ("json", "toml")], ids=str
)
def test_document_block_can_be_parsed(block: Block) -> None:
    parsed = json.loads(block.text) if block.language == "json" else tomllib.loads(block.text)
    assert parsed
