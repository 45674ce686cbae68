"""Facts about the instrument that product metadata repeats.

Values of Sentinel-2A's instrument, used for 2B as well, from which they differ by a nanometre
or a few per cent. Source: ESA Sentinel-2 spectral response functions (S2-SRF) and the
calibration constants in published Level-1C products of 2021.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Channel:
    """One band in the metadata's numbering, `bandId` being its place in `CHANNELS`."""

    band: str
    physical_band: str
    wavelength_nm: tuple[int, int, float]
    """Shortest, longest, central."""
    irradiance: float
    """Solar irradiance outside the atmosphere, W/m2/um."""
    gain: float
    """Absolute calibration coefficient."""


CHANNELS: tuple[Channel, ...] = (
    Channel("B01", "B1", (412, 456, 442.7), 1884.69, 4.10650374),
    Channel("B02", "B2", (456, 533, 492.7), 1959.66, 3.75008945),
    Channel("B03", "B3", (538, 583, 559.8), 1823.24, 4.1754601),
    Channel("B04", "B4", (646, 684, 664.6), 1512.06, 4.50605),
    Channel("B05", "B5", (695, 714, 704.1), 1424.64, 5.18657807),
    Channel("B06", "B6", (731, 749, 740.5), 1287.61, 4.85045988),
    Channel("B07", "B7", (769, 797, 782.8), 1162.08, 4.51187374),
    Channel("B08", "B8", (760, 907, 832.8), 1041.63, 6.12993247),
    Channel("B8A", "B8A", (837, 881, 864.7), 955.32, 5.11089037),
    Channel("B09", "B9", (932, 958, 945.1), 812.92, 8.48667727),
    Channel("B10", "B10", (1337, 1412, 1373.5), 367.15, 54.77849145),
    Channel("B11", "B11", (1539, 1682, 1613.7), 245.59, 35.11586051),
    Channel("B12", "B12", (2078, 2320, 2202.4), 85.25, 106.16764317),
)
BAND_IDS: dict[str, int] = {channel.band: number for number, channel in enumerate(CHANNELS)}
