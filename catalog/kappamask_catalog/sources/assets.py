"""Which asset of a STAC item holds which band, for the catalogues that carry Sentinel-2.

Earth Search (`blue`, `blue-jp2`), Copernicus Data Space (`B02_10m`), Planetary Computer (`B02`)
and stactools (`blue`, `blue_20m`) name assets differently; what an asset says of its band goes
before its key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pystac

from kappamask_catalog.sources.calibration import band_name
from kappamask_catalog.sources.grid import RESOLUTIONS_M
from kappamask_udf.bands import BANDS

# Band names by what catalogues call them. Sources: STAC eo extension, common names (1.0 and 2.0);
# stactools-sentinel2, constants.BANDS_TO_ASSET_NAME.
_ALIASES: dict[str, str] = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04",
    "rededge1": "B05", "rededge071": "B05", "rededge2": "B06", "rededge075": "B06",
    "rededge3": "B07", "rededge078": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09",
    "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip
_KEY = re.compile(r"(?P<stem>[A-Za-z0-9]+?)(?:[_-](?P<metres>10|20|60)m)?(?P<jp2>[_-]jp2)?")
_HREF_RESOLUTION = re.compile(r"(?:[_/]R?)(10|20|60)m(?=[_./])")
_OTHER_ROLES = {"overview", "thumbnail", "visual", "metadata"}


@dataclass(frozen=True)
class BandAsset:
    """The raster of one band."""

    band: str
    """Band name."""
    key: str
    """Key of the asset in its item."""
    href: str
    """Absolute path or URL."""
    resolution_m: int
    """Metres per pixel, by the item; the raster must agree."""
    fields: Mapping[str, Any]
    """Further fields of the asset."""

    @property
    def is_original(self) -> bool:
        """Whether it is ESA's own file beside a converted one (Earth Search, `blue-jp2`)."""
        return self.key.endswith(("-jp2", "_jp2"))


def find_band_assets(
    item: pystac.Item, chosen: Mapping[str, str] | None = None
) -> dict[str, BandAsset]:
    """The finest raster of every band of an item, by band name.

    Of two with the same resolution the one that is no `-jp2` twin is taken, then the first.

    Args:
        item: with absolute hrefs.
        chosen: key of the asset for some bands; no other is taken for them, nor theirs for others.
    """
    chosen = chosen or {}
    found: dict[str, BandAsset] = {}
    for key, asset in item.assets.items():
        candidate = _band_asset(key, asset)
        if candidate is None or candidate.band in chosen or key in chosen.values():
            continue
        known = found.get(candidate.band)
        if known is None or _rank(candidate) < _rank(known):
            found[candidate.band] = candidate
    for band, key in chosen.items():
        picked = _band_asset(key, item.assets[key], band) if key in item.assets else None
        if picked is not None:
            found[band] = picked
    return found


def _rank(asset: BandAsset) -> tuple[int, bool]:
    return asset.resolution_m, asset.is_original


def _band_asset(key: str, asset: pystac.Asset, band: str | None = None) -> BandAsset | None:
    band = band or asset_band(key, asset)
    href = asset.get_absolute_href()
    if band is None or href is None:
        return None
    match = _KEY.fullmatch(key)
    resolution_m = _resolution_m(asset.extra_fields, match["metres"] if match else None, href)
    return BandAsset(band, key, href, resolution_m or BANDS[band].resolution_m, asset.extra_fields)


def asset_band(key: str, asset: pystac.Asset) -> str | None:
    """Name of the band that an asset holds, `None` if it holds none or several."""
    if _OTHER_ROLES & set(asset.roles or ()):
        return None
    match = _KEY.fullmatch(key)
    return _told_band(asset.extra_fields) or (_resolve(match["stem"]) if match else None)


def _resolve(name: str) -> str | None:
    known = _ALIASES.get(name.lower(), band_name(name))
    return known if known in BANDS else None


def _told_band(fields: Mapping[str, Any]) -> str | None:
    for key in ("eo:bands", "bands"):
        bands = list(fields.get(key) or ())
        if len(bands) == 1 and isinstance(bands[0], Mapping):
            return _resolve(str(bands[0].get("name", "")))
    return None


def _resolution_m(fields: Mapping[str, Any], key_metres: str | None, href: str) -> int | None:
    """By falling trust: the affine, the raster fields, the key, the path, the sampling distance.

    `gsd` comes last: for a band that is stored coarser than it was taken it tells the latter.
    """
    raster = [*(fields.get("raster:bands") or ()), *(fields.get("bands") or ())]
    in_href = _HREF_RESOLUTION.search(href)
    told: list[Any] = [
        (fields.get("proj:transform") or [None])[0],
        *(band.get("spatial_resolution") for band in raster if isinstance(band, Mapping)),
        *(band.get("raster:spatial_resolution") for band in raster if isinstance(band, Mapping)),
        fields.get("raster:spatial_resolution"),
        key_metres,
        in_href[1] if in_href else None,
        fields.get("gsd"),
    ]
    for value in told:
        try:
            metres = round(float(value))
        except (TypeError, ValueError):
            continue
        if metres in RESOLUTIONS_M:
            return metres
    return None
