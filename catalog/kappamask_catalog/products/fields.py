"""Keys of one entry of a TOML file, taken one by one, with messages that name entry and key."""

import math
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from kappamask_udf.errors import SourceError

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class Fields:
    """What is left of a table; every key that is taken goes."""

    def __init__(self, table: Any, where: str, prefix: str = "") -> None:
        self.where = where
        """Which file and entry."""
        self._prefix = prefix
        if not isinstance(table, dict):
            raise SourceError(f"{where}: {prefix.rstrip('.') or 'it'} must be a table of keys")
        self._left: dict[str, Any] = dict(table)

    def wrong(self, key: str, what: str) -> SourceError:
        """An error about a key."""
        return SourceError(f"{self.where}: {self._prefix}{key} {what}")

    def names(self) -> list[str]:
        """Keys that are left."""
        return list(self._left)

    def finish(self) -> None:
        """Raise for keys that nobody knows."""
        if self._left:
            raise self.wrong(next(iter(self._left)), "is no key that is known here")

    def optional_text(self, key: str) -> str | None:
        """A text, `None` if it is not given."""
        if key not in self._left:
            return None
        value = self._left.pop(key)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"must be a text, got {value!r}")
        return value

    def text(self, key: str) -> str:
        """A text that must be given."""
        value = self.optional_text(key)
        if value is None:
            raise self.wrong(key, "is missing")
        return value

    def identifier(self, key: str) -> str:
        """A short name without spaces."""
        value = self.text(key)
        if _IDENTIFIER.fullmatch(value) is None:
            raise self.wrong(key, f"must be of letters, digits and _ - . , got {value!r}")
        return value

    def choice(self, key: str, choices: Sequence[str], default: str | None = None) -> str:
        """One of some words."""
        if default is not None and key not in self._left:
            return default
        value = self.text(key)
        if value not in choices:
            raise self.wrong(key, f"must be one of {', '.join(choices)}, got {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty if it is not given."""
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            raise self.wrong(key, f"must be a list of texts, got {value!r}")
        return tuple(value)

    def number(
        self, key: str, default: float, low: float, high: float, is_whole: bool = False
    ) -> float:
        """A number within bounds."""
        value = self._left.pop(key, default)
        kinds = int if is_whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
            raise self.wrong(key, f"must be a {'whole ' if is_whole else ''}number, got {value!r}")
        if not low <= value <= high:
            raise self.wrong(key, f"must be from {low:g} to {high:g}, got {value!r}")
        return value

    def flag(self, key: str) -> bool:
        """True or false, false if it is not given."""
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, f"must be true or false, got {value!r}")
        return value

    def variable(self, key: str) -> str | None:
        """The name of an environment variable. What is none may be a secret and is not shown."""
        value = self._left.pop(key, None)
        if value is None:
            return None
        if not isinstance(value, str) or _VARIABLE.fullmatch(value) is None:
            raise self.wrong(
                key, "must be the name of an environment variable, never the secret itself"
            )
        return value

    def address(self, key: str, value: str) -> str:
        """An http(s) URL without secrets."""
        parts = urlsplit(value)
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise self.wrong(key, "must have no user, password, query or fragment; use credentials")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise self.wrong(key, f"must be a URL with http or https, got {value!r}")
        return value.rstrip("/")

    def table(self, key: str) -> "Fields":
        """A table inside, empty if it is not given."""
        return Fields(self._left.pop(key, {}), self.where, f"{self._prefix}{key}.")
