"""Which fields of items are answered: the `fields` extension."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kappamask_catalog.stac_api.parsing import shown
from kappamask_udf.errors import InvalidQueryError

DEFAULT_FIELDS = (
    "type", "stac_version", "id", "geometry", "bbox", "links", "assets", "properties.datetime",
)  # fmt: skip
"""What `fields` without names means. Source: STAC API fields extension 1.0.0."""
ALWAYS = ("type", "stac_version", "id", "collection")
"""Without them neither people nor programs could tell what an item is."""

Path = tuple[str, ...]


@dataclass(frozen=True)
class FieldChoice:
    """Fields to keep and to leave out; of two that meet, the more exact one counts."""

    include: frozenset[Path] | None
    """`None` for all."""
    exclude: frozenset[Path]

    def apply(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The part of an item that was asked for."""
        kept = self._kept(item, ())
        return kept | {name: item[name] for name in ALWAYS if name in item}

    def _kept(self, value: Mapping[str, Any], parent: Path) -> dict[str, Any]:
        answer = {}
        for name, child in value.items():
            path = (*parent, name)
            if self._has_exacter(path) and isinstance(child, Mapping):
                inner = self._kept(child, path)
                if inner or self._is_kept(path):
                    answer[name] = inner
            elif self._is_kept(path):
                answer[name] = child
        return answer

    def _has_exacter(self, path: Path) -> bool:
        given = (*(self.include or ()), *self.exclude)
        return any(len(one) > len(path) and one[: len(path)] == path for one in given)

    def _is_kept(self, path: Path) -> bool:
        for length in range(len(path), 0, -1):
            start = path[:length]
            if self.include is not None and start in self.include:
                return True
            if start in self.exclude:
                return False
        return self.include is None


def parse_fields(value: Any) -> FieldChoice | None:
    """Names with commas between, `-` before those to leave out; or `include` and `exclude`.

    `None` for all fields.

    Raises:
        InvalidQueryError: it is neither.
    """
    if value is None:
        return None
    if isinstance(value, str):
        # A plus sign in an address is a space.
        names = [name.strip() for name in value.split(",") if name.strip()]
        exclude = _paths(name[1:] for name in names if name.startswith("-"))
        include = _paths(name.lstrip("+") for name in names if not name.startswith("-"))
        has_include = bool(include) or not exclude
    elif isinstance(value, Mapping):
        include, exclude = _paths(_names(value, "include")), _paths(_names(value, "exclude"))
        has_include = "include" in value or not exclude
    else:
        raise InvalidQueryError(f"fields must be an object of include, exclude (got {shown(value)}")
    if not has_include:
        return FieldChoice(None, exclude)
    return FieldChoice(include or _paths(DEFAULT_FIELDS) - exclude, exclude)


def _names(value: Mapping[str, Any], key: str) -> Iterable[str]:
    names = value.get(key) or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InvalidQueryError(f"fields.{key} must be a list of names (got {shown(names)})")
    return names


def _paths(names: Iterable[str]) -> frozenset[Path]:
    return frozenset(tuple(name.split(".")) for name in names if name)
