"""Lossless JPEG 2000 files, written strip by strip.

GDAL's JPEG 2000 driver can only copy a finished raster, so strips go to an uncompressed GeoTIFF
beside the result first, which is removed afterwards. Neither step holds a whole image in memory.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.windows import Window

from kappamask_catalog.scene.geometry import EPSG

JP2_TILE_PX = {10: 1024, 20: 640, 60: 192}
"""Side of a JPEG 2000 tile by resolution. Source: ESA's own products."""
GDAL_OPTIONS = {"GDAL_NUM_THREADS": "2", "GDAL_CACHEMAX": 256, "GDAL_PAM_ENABLED": "NO"}
"""Threads of the encoder, megabytes of GDAL's block cache, and no `.aux.xml` beside images."""


@dataclass
class StripFile:
    """One image on its way to a JPEG 2000 file. Used from one thread."""

    path: Path
    """The file that is made, `.jp2`."""
    resolution_m: int
    shape_yx: tuple[int, int]
    corner_xy: tuple[int, int]
    dtype: str = "uint16"
    count: int = 1
    _dataset: Any = field(default=None, repr=False)

    @property
    def _draft(self) -> Path:
        return self.path.with_suffix(".strips.tif")

    def write(self, row: int, planes: NDArray[Any]) -> None:
        """Add rows, from `row` on; (rows, cols) or (count, rows, cols), cut to the image."""
        if self._dataset is None:
            self._dataset = self._open()
        if not planes.any():
            return  # the draft is sparse: what is not written reads as 0
        stack = planes if planes.ndim == 3 else planes[None]
        rows = min(stack.shape[1], self.shape_yx[0] - row)
        window = Window(0, row, self.shape_yx[1], rows)
        self._dataset.write(stack[:, :rows, : self.shape_yx[1]], window=window)

    def finish(self) -> None:
        """Encode what was written and remove the draft."""
        self.close()
        tile = JP2_TILE_PX[self.resolution_m]
        rasterio.shutil.copy(
            self._draft,
            self.path,
            driver="JP2OpenJPEG",
            QUALITY="100",
            REVERSIBLE="YES",
            BLOCKXSIZE=tile,
            BLOCKYSIZE=tile,
        )
        self._draft.unlink()

    def close(self) -> None:
        """Close the draft, if it is open."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None

    def _open(self) -> Any:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return rasterio.open(
            self._draft,
            "w",
            driver="GTiff",
            height=self.shape_yx[0],
            width=self.shape_yx[1],
            count=self.count,
            dtype=self.dtype,
            interleave="band",
            sparse_ok="TRUE",
            **georeference(self.corner_xy, self.resolution_m),
        )


def georeference(corner_xy: tuple[int, int], resolution_m: int) -> dict[str, Any]:
    """Creation options that place a raster on the ground."""
    x, y = corner_xy
    return {
        "crs": f"EPSG:{EPSG}",
        "transform": rasterio.Affine(resolution_m, 0.0, x, 0.0, -resolution_m, y),
    }
