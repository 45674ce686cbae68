"""Ways to run one network that its item gives names to.

A profile sets fields of the item's properties; a tiling takes the place of `kappamask:tiling`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TILING = "kappamask:tiling"
_PROFILE_FIELDS = frozenset(
    {
        "description",
        _TILING,
        "kappamask:clip",
        "kappamask:missing",
        "kappamask:offset",
        "kappamask:resampling",
    }
)


@dataclass(frozen=True)
class Chosen:
    """Names of a profile and of a tiling; `None` for the item's own."""

    profile: str | None = None
    tiling: str | None = None


def apply_choice(properties: Mapping[str, Any], chosen: Chosen) -> tuple[Mapping[str, Any], Chosen]:
    """Properties of a model item as a profile and a tiling make them, and what was taken.

    Raises:
        ValueError: there is none of that name, or a profile sets what profiles cannot.
    """
    profiles = properties.get("kappamask:profiles", {})
    tilings = properties.get("kappamask:tilings", {})
    for name, profile in profiles.items():
        unknown = sorted(set(profile) - _PROFILE_FIELDS)
        if unknown:
            raise ValueError(f"profile {name!r} sets {', '.join(unknown)}, which no profile may")
    profile_name = chosen.profile or properties.get("kappamask:default_profile")
    profile = {} if profile_name is None else _named("profile", profiles, profile_name)
    result = {**properties, **{key: profile[key] for key in profile if key != "description"}}
    if chosen.tiling is not None:
        result[_TILING] = _named("tiling", tilings, chosen.tiling)
    return result, Chosen(profile_name, chosen.tiling)


def _named(kind: str, entries: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if name not in entries:
        there = f"there are {', '.join(entries)}" if entries else f"it has no {kind}s"
        raise ValueError(f"no {kind} is called {name!r}; {there}")
    entry: Mapping[str, Any] = entries[name]
    return entry
