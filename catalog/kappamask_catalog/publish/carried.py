"""What the item of a mask takes over from the item of its product.

Items come from stactools, Earth Search, the Copernicus Data Space or others, which name the same
things differently and have fields that the extensions do not know. What is carried is what the
extensions' own schemas allow, so that the item of a mask is valid whatever its source was.
"""

import json
import math
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import pystac

_EXTENSIONS = {
    "s2": "sentinel-2/v1.0.0",
    "view": "view/v1.0.0",
    "sat": "sat/v1.0.0",
    "grid": "grid/v1.1.0",
    "mgrs": "mgrs/v1.0.0",
}
"""Extensions by prefix; their schemas are in `schemas/extensions`."""
_REQUIRED = {"grid": ("grid:code",), "mgrs": ("mgrs:latitude_band", "mgrs:grid_square")}
"""Without these the extension's other fields say nothing."""
_COMMON = ("platform", "constellation", "instruments", "mission")
_MGRS = re.compile(r"MGRS-(\d{1,2})([C-HJ-NP-X])([A-HJ-NP-Z]{2})")
_TILE_IN_ID = re.compile(r"_T?(\d{2}[C-HJ-NP-X][A-HJ-NP-Z]{2})(?:_|$)")


def carried_properties(source: pystac.Item) -> dict[str, Any]:
    """Instrument, angles, orbit, tile and `s2:` fields of a product's item.

    Fields that their extension calls deprecated come under their new name: sun angles as `view:`,
    the tile as `grid:` and `mgrs:`.
    """
    properties = {
        name: value
        for name, value in source.properties.items()
        if name in _COMMON or _is_carried(name, value)
    }
    complete = _grid_fields(source) | _sun_fields(source.properties) | properties
    for prefix, required in _REQUIRED.items():
        if not all(name in complete for name in required):
            complete = {name: value for name, value in complete.items() if _prefix(name) != prefix}
    return complete


def carried_extensions(properties: Mapping[str, Any]) -> list[str]:
    """Which of the carried extensions some properties use, such as `view/v1.0.0`."""
    used = {_prefix(name) for name in properties}
    return [extension for prefix, extension in _EXTENSIONS.items() if prefix in used]


def _is_carried(name: str, value: Any) -> bool:
    if name not in _allowed_fields(_prefix(name)):
        return False
    return value is not None and not (isinstance(value, float) and math.isnan(value))


@cache
def _allowed_fields(prefix: str) -> frozenset[str]:
    """The fields of an extension that its schema knows and does not call deprecated."""
    if prefix not in _EXTENSIONS:
        return frozenset()
    name = f"{_EXTENSIONS[prefix].replace('/', '-')}.json"
    file = resources.files(__package__) / "schemas" / "extensions" / name
    fields = json.loads(file.read_text(encoding="utf-8"))["definitions"]["fields"]["properties"]
    return frozenset(name for name, rule in fields.items() if not rule.get("deprecated"))


def _grid_fields(source: pystac.Item) -> dict[str, Any]:
    """`grid:code` and `mgrs:` fields from whatever says the tile; empty where nothing does."""
    match = _MGRS.fullmatch(_grid_code(source))
    if match is None:
        return {}
    zone, latitude_band, square = match.groups()
    return {
        "grid:code": f"MGRS-{int(zone):02}{latitude_band}{square}",
        "mgrs:utm_zone": int(zone),
        "mgrs:latitude_band": latitude_band,
        "mgrs:grid_square": square,
    }


def _grid_code(source: pystac.Item) -> str:
    properties = source.properties
    if code := properties.get("grid:code"):
        return str(code)
    parts = [
        properties.get(f"mgrs:{name}") for name in ("utm_zone", "latitude_band", "grid_square")
    ]
    if all(parts):
        return "MGRS-{}{}{}".format(*parts)
    if tile := properties.get("s2:mgrs_tile"):
        return f"MGRS-{tile}"
    match = _TILE_IN_ID.search(source.id)
    return f"MGRS-{match[1]}" if match else ""


def _sun_fields(properties: Mapping[str, Any]) -> dict[str, float]:
    """`view:` angles of the sun from the deprecated `s2:` ones."""
    azimuth = properties.get("s2:mean_solar_azimuth")
    zenith = properties.get("s2:mean_solar_zenith")
    angles = {
        "view:sun_azimuth": azimuth,
        "view:sun_elevation": None if zenith is None else 90 - zenith,
    }
    return {name: angle for name, angle in angles.items() if angle is not None}


def _prefix(name: str) -> str:
    return name.partition(":")[0] if ":" in name else ""
