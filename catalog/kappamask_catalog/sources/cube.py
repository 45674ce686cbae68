"""A product as a lazy xarray cube on its own 10 m grid.

Values are digital numbers with the offset applied, so reflectance times 10000 whatever the
product's processing baseline: bands of different products can be compared. What a pixel gets
does not depend on the chunks.
"""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kappamask_catalog.sources.product import Product
from kappamask_udf.bands import BANDS, L2A_LAYERS
from kappamask_udf.errors import MissingExtraError
from kappamask_udf.pixels import NATIVE_RESOLUTION_M, PixelWindow
from kappamask_udf.resampling import upsample_linear

if TYPE_CHECKING:
    import xarray

REFLECTANCE_SCALE = 10000.0
"""What reflectance is multiplied with, as in ESA's products."""
DEFAULT_CHUNK_PX = 1024
_COARSEST_PX = 6  # A 60 m pixel: chunks of whole ones read no coarse pixel twice but the margin.
_LAYER_NAMES = {layer.name for layer in L2A_LAYERS}


def open_cube(
    product: Product, bands: Sequence[str] | None = None, chunk_px: int = DEFAULT_CHUNK_PX
) -> "xarray.DataArray":
    """A lazy cube of a product, which must stay open while the cube is computed.

    Chunks are read by threads of this process; a product cannot be sent to another one.

    Args:
        product: an open product.
        bands: names of bands, all of the product by default.
        chunk_px: side of a dask chunk in 10 m pixels, rounded up to a multiple of 6.

    Returns:
        (t, bands, y, x) float32: reflectance x 10000 for spectral bands, optical thickness and
        centimetres for AOT and WVP. NaN where the product has no data: lost according to the
        masks of the band, or digital number 0 (except in B09, B10, AOT and WVP, where 0 is a
        value). Bands of 20 m and 60 m are resampled bilinearly, leaving missing pixels out.
        Coordinates are the acquisition time (UTC), band names and pixel centres in metres.

    Raises:
        MissingExtraError: dask is not installed.
        MissingBandError: the product has no such band.
    """
    try:
        from dask import array as dask_array
    except ImportError as error:
        raise MissingExtraError(
            "open_cube needs dask; install it with: pip install 'openeo-kappamask[cube]'"
        ) from error
    import xarray

    names = tuple(product.bands if bands is None else bands)
    for name in names:
        product.band_resolution_m(name)
    step = max(1, -(-chunk_px // _COARSEST_PX)) * _COARSEST_PX
    chunks = tuple(_chunk_sizes(side, step) for side in product.shape_yx)
    layers = [
        dask_array.map_blocks(  # type: ignore[no-untyped-call]  # dask has no types here
            partial(_read_block, product, name),
            chunks=chunks,
            dtype=np.float32,
            meta=np.empty((0, 0), np.float32),
            # An open product has no content to hash, and no two cubes share blocks.
            token=uuid.uuid4().hex,
        )
        for name in names
    ]
    return xarray.DataArray(
        dask_array.stack(layers)[np.newaxis],  # type: ignore[no-untyped-call]  # as above
        dims=("t", "bands", "y", "x"),
        coords=_coordinates(product, names),
        name=product.id,
        attrs={
            "crs": f"EPSG:{product.epsg}",
            "epsg": product.epsg,
            "transform": tuple(product.transform[:6]),
            "level": product.level,
            "reflectance_scale": REFLECTANCE_SCALE,
        },
    )


def _coordinates(product: Product, names: Sequence[str]) -> dict[str, Any]:
    moment, transform = product.item.datetime, product.transform
    utc = None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
    rows, cols = product.shape_yx
    return {
        "t": [np.datetime64("NaT" if utc is None else utc, "ns")],
        "bands": list(names),
        "y": transform.f + (np.arange(rows) + 0.5) * transform.e,
        "x": transform.c + (np.arange(cols) + 0.5) * transform.a,
    }


def _chunk_sizes(side: int, step: int) -> tuple[int, ...]:
    return tuple(min(step, side - start) for start in range(0, side, step))


def _read_block(
    product: Product, band: str, block_info: Mapping[None, Mapping[str, Any]]
) -> NDArray[np.float32]:
    (row0, row1), (col0, col1) = block_info[None]["array-location"]
    return read_values(product, band, PixelWindow(row0, row1, col0, col1))


def read_values(product: Product, band: str, window: PixelWindow) -> NDArray[np.float32]:
    """(rows, cols) float32 of a window of the 10 m grid, as in `open_cube`."""
    factor = product.band_resolution_m(band) // NATIVE_RESOLUTION_M
    own = PixelWindow(
        window.row0 // factor, -(-window.row1 // factor),
        window.col0 // factor, -(-window.col1 // factor),
    )  # fmt: skip
    dn = _read_with_margin(product, band, own, 0 if factor == 1 else 1)
    is_valid = np.ones(dn.shape, np.bool_) if BANDS[band].is_zero_valid else dn != 0
    if factor == 1:
        values, has_value = dn.astype(np.float32), is_valid
    else:
        fine, fine_has_value = upsample_linear(dn, factor, is_valid)
        rows = slice(window.row0 - own.row0 * factor, window.row1 - own.row0 * factor)
        cols = slice(window.col0 - own.col0 * factor, window.col1 - own.col0 * factor)
        # A missing pixel of a coarse band stays missing, however near its neighbours are.
        centre = np.repeat(np.repeat(is_valid[1:-1, 1:-1], factor, axis=0), factor, axis=1)
        has_value = (centre if fine_has_value is None else centre & fine_has_value)[rows, cols]
        values = fine[rows, cols]
    lost = product.read_lost([band], window)
    is_missing = ~has_value if lost is None else ~has_value | lost
    calibration = product.calibration(band)
    scale = 1.0 if band in _LAYER_NAMES else REFLECTANCE_SCALE
    scaled = (values + np.float32(calibration.offset)) * np.float32(
        scale / calibration.quantification
    )
    return np.where(is_missing, np.float32(np.nan), scaled)


def _read_with_margin(
    product: Product, band: str, window: PixelWindow, margin: int
) -> NDArray[np.uint16]:
    """A window of the band's own grid with a margin; beyond the product its edge is repeated."""
    padded = window.padded(margin)
    inside = padded.clipped(product.grid.shape_at(product.band_resolution_m(band)))
    return np.pad(
        product.read_dn(band, inside),
        (
            (inside.row0 - padded.row0, padded.row1 - inside.row1),
            (inside.col0 - padded.col0, padded.col1 - inside.col1),
        ),
        mode="edge",
    )
