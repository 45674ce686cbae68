"""What the sensor sees through the clouds: reflectance of each band at the top of atmosphere.

A two-stream model. A layer of optical thickness t reflects R = (1-g)t / (2 + (1-g)t) and lets
T = 1 - R through, with g the asymmetry of its particles; light goes through the layer twice and
to and fro between layer and ground. Constants per band hold what differs along the spectrum:
absorption by drops and ice in the short-wave infrared, water vapour and molecular scattering
above the cloud, and how much of the light in a shadow comes from the sky.

Reflectance of a coarse pixel is the mean over its 10 m pixels, not the reflectance of the mean
thickness. All that depends on thickness is linear in R, R^2 and the shading S, so these three
are averaged over the blocks of a 20 m or 60 m pixel once, for all bands.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.scene.clouds import Thickness

Plane = NDArray[np.float32]

# Asymmetry and forward peak (g^2, delta-Eddington: Joseph et al. 1976) of scattering by drops
# and by ice crystals at 550 nm.
_ASYMMETRY_WATER = 0.85
_ASYMMETRY_ICE = 0.77
# Share of the beam lost in a cloud that reaches its shadow all the same, scattered.
_SHADOW_FILL = 0.08


@dataclass(frozen=True)
class BandOptics:
    """How one band sees clouds and shadows; ratios between 0 and 1."""

    path: float
    """Reflectance of the cloudless air alone, below the darkest pixel of the surface."""
    diffuse: float
    """Share of skylight in the light on the ground, which stays in a shadow."""
    above_low: float
    """Two-way transmittance of the gases above a low cloud."""
    above_high: float
    """The same above cirrus."""
    water_loss: float = 0.0
    """Absorption by drops: a thick cloud of reflectance R loses this times R of it."""
    ice_scale: float = 1.0
    """Reflectance of thin cirrus relative to 550 nm."""
    noise: float = 0.0008
    """Deviation of the sensor's noise, reflectance."""


# Orders of magnitude from the open literature: Rayleigh reflectance falls with the fourth power
# of the wavelength; 1.38 um is black below some 5 km for the water vapour above, which is why B10
# sees cirrus only; 0.94 um is half absorbed above a low cloud; drops absorb a little at 1.6 um
# and more at 2.2 um, ice more at both (Nakajima and King 1990; Gao et al. 1993).
OPTICS: dict[str, BandOptics] = {
    "B01": BandOptics(0.108, 0.30, 0.96, 0.98),
    "B02": BandOptics(0.070, 0.25, 0.97, 0.99),
    "B03": BandOptics(0.042, 0.18, 0.95, 0.97),
    "B04": BandOptics(0.024, 0.14, 0.96, 0.98),
    "B05": BandOptics(0.019, 0.12, 0.96, 0.98),
    "B06": BandOptics(0.014, 0.10, 0.97, 0.99),
    "B07": BandOptics(0.012, 0.09, 0.97, 0.99),
    "B08": BandOptics(0.011, 0.09, 0.95, 0.98),
    "B8A": BandOptics(0.008, 0.08, 0.98, 0.99),
    "B09": BandOptics(0.003, 0.08, 0.45, 0.93, noise=0.0006),
    "B10": BandOptics(0.000, 0.05, 0.012, 0.72, noise=0.0002),
    "B11": BandOptics(0.001, 0.05, 0.96, 0.98, 0.22, 0.75, 0.0006),
    "B12": BandOptics(0.0005, 0.04, 0.95, 0.97, 0.46, 0.60, 0.0006),
}
# Share of the air that lies above the layers, by pressure at about 1.5 km and 9.5 km.
_AIR_ABOVE_LOW = 0.84
_AIR_ABOVE_HIGH = 0.28


@dataclass(frozen=True)
class CloudLight:
    """What thickness does to light, before it is split by band; (rows, cols) float32 each."""

    low: Plane
    """Reflectance R of the lower layer at 550 nm."""
    low_squared: Plane
    high: Plane
    """Reflectance R of the upper layer at 550 nm."""
    high_squared: Plane
    shading: Plane
    """Share of the direct beam that reaches the ground, 1 in full sun."""

    def averaged(self, factor: int) -> "CloudLight":
        """The means over blocks of `factor` x `factor` pixels."""
        return CloudLight(
            block_mean(self.low, factor),
            block_mean(self.low_squared, factor),
            block_mean(self.high, factor),
            block_mean(self.high_squared, factor),
            block_mean(self.shading, factor),
        )


def block_mean(plane: Plane, factor: int) -> Plane:
    """(rows / factor, cols / factor) means of square blocks; sides must divide by `factor`."""
    rows, cols = plane.shape
    # Sums of strided views in a fixed order: bit-identical in whatever window a block lies.
    total = np.zeros((rows // factor, cols // factor), np.float32)
    for row in range(factor):
        for col in range(factor):
            total += plane[row::factor, col::factor]
    total /= np.float32(factor * factor)
    return total


def cloud_light(thickness: Thickness, sun_zenith_deg: float) -> CloudLight:
    """Reflectance and shading of the layers over a window."""
    low = _reflectance(thickness.low, _ASYMMETRY_WATER)
    high = _reflectance(thickness.high, _ASYMMETRY_ICE)
    slant = 1.0 / np.cos(np.radians(sun_zenith_deg))
    loss = np.float32((1 - _ASYMMETRY_WATER**2) * slant) * thickness.low_sunward
    loss += np.float32((1 - _ASYMMETRY_ICE**2) * slant) * thickness.high_sunward
    beam = np.exp(-loss)
    shading = beam + np.float32(_SHADOW_FILL) * (1 - beam)
    return CloudLight(low, low * low, high, high * high, shading)


def _reflectance(thickness: Plane, asymmetry: float) -> Plane:
    scaled = np.float32(1 - asymmetry) * thickness
    return scaled / (scaled + np.float32(2))


def top_of_atmosphere(surface: Plane, light: CloudLight, band: str) -> Plane:
    """(rows, cols) float32 reflectance of one band under the clouds.

    Args:
        surface: cloudless top-of-atmosphere reflectance on the band's grid.
        light: averaged to the same grid.
        band: `B01` to `B12`.
    """
    optics = OPTICS[band]
    path = np.float32(optics.path)
    diffuse = np.float32(optics.diffuse)
    lit = path + (surface - path) * (diffuse + (1 - diffuse) * light.shading)
    below = np.float32(_AIR_ABOVE_LOW * optics.path)
    low = light.low - np.float32(optics.water_loss) * light.low_squared
    seen = below + _through(
        lit - below, low, light.low, light.low_squared, optics.above_low, optics.water_loss
    )
    below = np.float32(_AIR_ABOVE_HIGH * optics.path)
    high = np.float32(optics.ice_scale) * light.high
    return below + _through(
        seen - below, high, light.high, light.high_squared, optics.above_high, 1 - optics.ice_scale
    )


def _through(
    under: Plane, reflected: Plane, layer: Plane, squared: Plane, gases: float, absorption: float
) -> Plane:
    """A layer over something: reflected light plus what goes down, back up and to and fro."""
    two_way = (1 - 2 * layer + squared) * (1 - np.float32(absorption) * layer)
    return np.float32(gases) * reflected + two_way * under / (1 - reflected * under)
