"""The structure of a JPEG 2000 file: is it whole, and which of its tiles are alike.

Decoding is GDAL's. What is done here costs no decoding: walking from tile part to tile part finds
a file that was cut off, even where the window that is read lies before the cut; and tiles with
the same code are known to have the same pixels. Source: ISO/IEC 15444-1, annexes A and I.
"""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kappamask_udf.errors import CorruptDataError

_SIGNATURE = bytes.fromhex("0000000C6A5020200D0A870A")
_SIZ, _COD, _COC, _SOT, _SOD, _EOC = 0xFF51, 0xFF52, 0xFF53, 0xFF90, 0xFF93, 0xFFD9
_PPM, _PPT = 0xFF60, 0xFF61
# With these a tile is not described by its own bytes and the common coding style alone.
_ENTANGLING = {_COC, _PPM, _PPT}


class _CutOffError(Exception):
    """The file ends, or has other bytes, where the structure must go on."""


@dataclass(frozen=True)
class _TilePart:
    tile: int
    start: int
    end: int


@dataclass(frozen=True)
class _CodingStyle:
    """How tiles are divided: what, beside its bytes, a tile's pixels depend on."""

    levels: int
    block_exponents_xy: tuple[int, int]
    precinct_exponents_xy: tuple[tuple[int, int], ...]  # by resolution, coarsest first

    @classmethod
    def parse(cls, segment: bytes) -> "_CodingStyle":
        """From a COD segment without marker and length."""
        levels, x_block, y_block = segment[5], segment[6] + 2, segment[7] + 2
        precincts = ((15, 15),) * (levels + 1)
        if segment[0] & 1:
            sizes = segment[10 : 11 + levels]
            if len(sizes) != levels + 1:
                raise _CutOffError("its coding style is cut off")
            precincts = tuple((size & 15, size >> 4) for size in sizes)
        return cls(levels, (x_block, y_block), precincts)

    def layout(self, axis: int, start: int, end: int) -> tuple[tuple[int, ...], ...]:
        """Where tile columns (axis 0) or rows (axis 1) `start` to `end` are divided.

        Of every subband: whether it begins even, its length, and the borders of precincts and
        code blocks in it, counted from its beginning. Source: ISO/IEC 15444-1, B.5 to B.7.
        """
        found = []
        for resolution in range(self.levels + 1):
            precinct = self.precinct_exponents_xy[resolution][axis]
            depth = self.levels - resolution + (resolution > 0)
            block = min(self.block_exponents_xy[axis], max(precinct - (resolution > 0), 0))
            for is_high in (False, True) if resolution else (False,):
                shift = (1 << depth >> 1) if is_high else 0
                first, last = (-((shift - edge) >> depth) for edge in (start, end))
                borders = [
                    border - first
                    for exponent in (block, max(precinct - (resolution > 0), 0))
                    for border in range((first >> exponent) + 1 << exponent, last, 1 << exponent)
                ]
                found.append((first & 1, last - first, *borders))
        return tuple(found)


@dataclass(frozen=True)
class TileIndex:
    """The tiles of a codestream and which of them are alike."""

    shape_yx: tuple[int, int]
    """Rows and columns of the image."""
    tile_shape_yx: tuple[int, int]
    """Rows and columns of a full tile; the first begins at the image's corner."""
    keys: tuple[bytes, ...]
    """One per tile, row by row; tiles of equal keys have equal pixels, across files too."""


def is_jpeg2000(path: Path) -> bool:
    """Whether the file begins like a JP2 file or a bare codestream."""
    with path.open("rb") as file:
        head = file.read(len(_SIGNATURE))
    return head == _SIGNATURE or head[:4] == bytes.fromhex("FF4FFF51")


def check_complete(path: Path) -> None:
    """Walks through all tile parts to the end of the codestream.

    Raises:
        CorruptDataError: the file is cut off or its structure is broken.
    """
    with path.open("rb") as file:
        try:
            _Codestream(file, path)
        except (_CutOffError, struct.error) as error:
            raise CorruptDataError(
                f"{path.name} is truncated or corrupt ({error}); get the file again"
            ) from error


def read_tile_index(path: Path) -> TileIndex | None:
    """The tiles of a whole file, `None` where its tiles do not stand for themselves.

    Raises:
        CorruptDataError: as `check_complete`.
    """
    with path.open("rb") as file:
        try:
            return _Codestream(file, path).index()
        except (_CutOffError, struct.error) as error:
            raise CorruptDataError(
                f"{path.name} is truncated or corrupt ({error}); get the file again"
            ) from error


class _Codestream:
    """The main header and the tile parts of one open file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._size = path.stat().st_size
        self._start = self._find_start()
        self._parts: list[_TilePart] = []
        self._style: _CodingStyle | None = None
        self._is_entangled = False
        self._header_end = self._read_main_header()
        self._parts = list(self._tile_parts())
        missing = set(range(self._rows * self._cols)) - {part.tile for part in self._parts}
        if missing:
            raise _CutOffError(f"tile {min(missing)} of {self._rows * self._cols} is missing")

    def index(self) -> TileIndex | None:
        style = self._style
        if self._is_entangled or style is None or self._origin_yx != (0, 0):
            return None
        header = self._bytes(self._start, self._header_end)
        digests = [hashlib.sha256(header) for _ in range(self._rows * self._cols)]
        for part in self._parts:
            # Bytes 4 and 5 of a tile part are the tile's number, the only thing that tells
            # apart the tile parts of two tiles with the same content.
            data = self._bytes(part.start, part.end)
            if _is_entangled_part(data):
                return None
            digests[part.tile].update(data[:4] + data[6:])
        tile_rows, tile_cols = self._tile_shape_yx
        for tile, digest in enumerate(digests):
            row, col = divmod(tile, self._cols)
            top, left = row * tile_rows, col * tile_cols
            layout = (
                style.layout(1, top, min(top + tile_rows, self._shape_yx[0])),
                style.layout(0, left, min(left + tile_cols, self._shape_yx[1])),
            )
            digest.update(repr(layout).encode())
        keys = tuple(digest.digest() for digest in digests)
        return TileIndex(self._shape_yx, self._tile_shape_yx, keys)

    def _bytes(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(end - start)
        if len(data) != end - start:
            raise _CutOffError(f"it ends at byte {self._size}, byte {end} is needed")
        return data

    def _find_start(self) -> int:
        """Offset of the codestream behind the boxes of the JP2 file."""
        position = 0
        if self._bytes(0, 2) == b"\xff\x4f":
            return position
        while position < self._size:
            length, kind = struct.unpack(">I4s", self._bytes(position, position + 8))
            header = 8
            if length == 1:
                (length,) = struct.unpack(">Q", self._bytes(position + 8, position + 16))
                header = 16
            end = position + length if length else self._size
            if end > self._size or end < position + header:
                raise _CutOffError(f"it has {self._size} bytes, {end} are needed")
            if kind == b"jp2c":
                return position + header
            position = end
        raise _CutOffError("it holds no codestream")

    def _read_main_header(self) -> int:
        """Reads what is needed of it and returns where it ends."""
        position = self._start + 2
        while True:
            marker, length = struct.unpack(">HH", self._bytes(position, position + 4))
            if marker == _SOT:
                return position
            if marker < 0xFF01 or length < 2:
                raise _CutOffError(f"no marker at byte {position}")
            if marker == _SIZ:
                self._read_size(self._bytes(position + 6, position + 38))
                self._check_sampling(self._bytes(position + 38, position + 2 + length))
            if marker == _COD:
                self._style = _CodingStyle.parse(self._bytes(position + 4, position + 2 + length))
            self._is_entangled |= marker in _ENTANGLING
            position += 2 + length

    def _read_size(self, data: bytes) -> None:
        right, bottom, left, top, tile_cols, tile_rows, tile_left, tile_top = struct.unpack(
            ">8I", data
        )
        if not (tile_cols and tile_rows and right > left and bottom > top):
            raise _CutOffError("its image or tile size is 0")
        self._origin_yx = (top | tile_top, left | tile_left)
        self._shape_yx = (bottom - top, right - left)
        self._tile_shape_yx = (tile_rows, tile_cols)
        self._rows = -(-(bottom - tile_top) // tile_rows)
        self._cols = -(-(right - tile_left) // tile_cols)
        if self._rows * self._cols > 65535:  # tile numbers have 16 bits
            raise _CutOffError("it has too many tiles")

    def _check_sampling(self, data: bytes) -> None:
        """Components that are sampled differently are divided differently."""
        self._is_entangled |= any(step != 1 for step in (*data[3::3], *data[4::3]))

    def _tile_parts(self) -> Iterator[_TilePart]:
        position = self._header_end
        while True:
            (marker,) = struct.unpack(">H", self._bytes(position, position + 2))
            if marker == _EOC:
                return
            if marker != _SOT:
                raise _CutOffError(f"no tile part at byte {position}")
            tile, length = struct.unpack(">HI", self._bytes(position + 4, position + 10))
            # Length 0 is allowed in the last tile part, which then reaches to the end marker.
            end = position + length if length else self._size - 2
            if end < position + 12 or end > self._size or tile >= self._rows * self._cols:
                raise _CutOffError(f"it has {self._size} bytes, {end} are needed")
            yield _TilePart(tile, position, end)
            position = end


def _is_entangled_part(data: bytes) -> bool:
    """Whether a tile part has a coding style of its own or packet headers elsewhere."""
    position = 12
    while position + 4 <= len(data):
        marker, length = struct.unpack(">HH", data[position : position + 4])
        if marker == _SOD:
            return False
        if marker in _ENTANGLING or marker == _COD or length < 2:
            return True
        position += 2 + length
    return True
