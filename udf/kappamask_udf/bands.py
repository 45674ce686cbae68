"""The spectral bands of the Sentinel-2 MSI."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BandInfo:
    """One band of the instrument."""

    name: str
    """ESA's name, `B01` to `B12`, or `AOT` and `WVP` of Level-2A."""
    resolution_m: int
    """Native ground sampling distance, metres: 10, 20 or 60."""
    common_name: str | None
    """STAC common name, which is also the asset key that stactools-sentinel2 gives (before
    duplicates are told apart)."""
    is_zero_valid: bool = False
    """Whether DN 0 occurs in valid data, so that it does not tell missing pixels."""


# Source: ESA Sentinel-2 User Handbook, spatial and spectral resolution tables; the order is
# that of the `bandId` numbers in MTD_MSIL1C.xml (0 = B01 ... 8 = B8A ... 12 = B12).
# B09 and B10 look at absorbed light, over dark surfaces they reach DN 0 in valid data.
MSI_BANDS: tuple[BandInfo, ...] = (
    BandInfo("B01", 60, "coastal"),
    BandInfo("B02", 10, "blue"),
    BandInfo("B03", 10, "green"),
    BandInfo("B04", 10, "red"),
    BandInfo("B05", 20, "rededge071"),
    BandInfo("B06", 20, "rededge075"),
    BandInfo("B07", 20, "rededge078"),
    BandInfo("B08", 10, "nir"),
    BandInfo("B8A", 20, "nir08"),
    BandInfo("B09", 60, "nir09", is_zero_valid=True),
    BandInfo("B10", 60, "cirrus", is_zero_valid=True),
    BandInfo("B11", 20, "swir16"),
    BandInfo("B12", 20, "swir22"),
)
# Level-2A layers that a model may take as bands; their finest rasters have 10 m.
L2A_LAYERS: tuple[BandInfo, ...] = (
    BandInfo("AOT", 10, None, is_zero_valid=True),
    BandInfo("WVP", 10, None, is_zero_valid=True),
)
BANDS: dict[str, BandInfo] = {band.name: band for band in (*MSI_BANDS, *L2A_LAYERS)}
