"""The code blocks of the documentation, and what a shell does with their command lines."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])

# Only the indentation that the fence itself has is allowed, so blocks in lists are not missed.
_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_PARSED_ONLY = "parsed only: "


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    title: str | None
    """Name of a file that the block is the contents of."""
    is_parsed_only: bool
    """Whether its commands cannot run here (the comment above the block says why)."""
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def read_blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for found in _BLOCK.finditer(text):
        info = shlex.split(found["info"])
        titles = [word.removeprefix("title=") for word in info if word.startswith("title=")]
        blocks.append(
            Block(
                page,
                text.count("\n", 0, found.start("text")),
                info[0] if info else "",
                titles[0] if titles else None,
                (found["note"] or "").startswith(_PARSED_ONLY),
                found["text"],
            )
        )
    return blocks


@dataclass(frozen=True)
class Command:
    """One command line and what it is said to print."""

    words: list[str]
    expected: str | None
    """`None` where the page shows no output."""


def read_commands(block: Block) -> list[Command]:
    """The command lines of a `bash` or `console` block."""
    if block.language == "bash":
        return [
            Command(split_words(line), None)
            for line in block.text.splitlines()
            if line.strip() and not line.startswith("#")
        ]
    commands: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            commands.append(Command(split_words(line[2:]), ""))
        else:
            last = commands[-1]
            commands[-1] = Command(last.words, f"{last.expected}{line}\n")
    return commands


def split_words(line: str) -> list[str]:
    """The words of a command line, quotes taken away."""
    return shlex.split(line)


def expand_globs(words: list[str]) -> list[str]:
    """Words with `*` replaced by the paths that match, as a shell does."""
    expanded: list[str] = []
    for word in words:
        matches = sorted(str(path) for path in Path().glob(word)) if "*" in word else []
        expanded.extend(matches or [word])
    return expanded
