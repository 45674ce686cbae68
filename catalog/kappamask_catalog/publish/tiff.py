"""Is a TIFF file whole? Its own directories say which bytes it must have.

GDAL can return from writing with a file that lacks its end (a full disk that is met while the
last directory is written). Nothing here decodes a pixel: a full mask is checked in milliseconds.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kappamask_udf.errors import OutputError

# Tag numbers. Source: TIFF 6.0, sections 8 and 15.
_SUBFILE_TYPE, _WIDTH, _LENGTH, _TILE_OFFSETS, _TILE_BYTE_COUNTS = 254, 256, 257, 324, 325
# Field types by number: SHORT, LONG, LONG8. Source: TIFF 6.0 section 2, BigTIFF.
_INTEGERS = {3: "H", 4: "I", 16: "Q"}


class IncompleteTiffError(OutputError):
    """A TIFF file lacks some of its bytes."""


@dataclass(frozen=True)
class TiffImage:
    """One directory of a tiled TIFF file."""

    directory_offset: int
    """Where the directory is, bytes."""
    shape_yx: tuple[int, int]
    is_overview: bool
    tile_offsets: tuple[int, ...]
    """Bytes; 0 for a tile that was left out."""
    tile_sizes: tuple[int, ...]
    """Bytes, one per tile."""


def read_tiff_images(path: Path) -> list[TiffImage]:
    """The directories of a tiled TIFF or BigTIFF file, in their order.

    Raises:
        IncompleteTiffError: it is no TIFF file or ends before its directories do.
    """
    try:
        with path.open("rb") as file:
            return list(_iterate_images(file))
    except (struct.error, KeyError) as error:
        raise IncompleteTiffError(
            f"{path.name} is incomplete: its TIFF directories are cut off"
        ) from error


def check_complete(path: Path, images: int) -> None:
    """Refuse a TIFF file that has not all of its tiles.

    Args:
        path: a tiled TIFF file.
        images: how many directories it must have, overviews included.

    Raises:
        IncompleteTiffError: a directory or a tile is missing or reaches beyond the end of the file.
    """
    found = read_tiff_images(path)
    if len(found) != images:
        raise IncompleteTiffError(
            f"{path.name} is incomplete: {len(found)} of {images} images are there"
        )
    size = path.stat().st_size
    for image in found:
        tiles = zip(image.tile_offsets, image.tile_sizes, strict=True)
        missing = sum(not (0 < offset < offset + count <= size) for offset, count in tiles)
        if missing:
            total = len(image.tile_offsets)
            raise IncompleteTiffError(
                f"{path.name} is incomplete: {missing} of {total} tiles are missing"
            )


def _iterate_images(file: BinaryIO) -> Iterator[TiffImage]:
    order = {b"II": "<", b"MM": ">"}[file.read(2)]
    is_big = _unpack(file, order + "H")[0] == 43  # 43: BigTIFF, 42: TIFF
    if is_big:
        _unpack(file, order + "HH")
    word = "Q" if is_big else "I"
    while offset := _unpack(file, order + word)[0]:
        file.seek(offset)
        (entries,) = _unpack(file, order + ("Q" if is_big else "H"))
        layout = order + "HH" + word + ("8s" if is_big else "4s")
        fields = [_unpack(file, layout) for _ in range(entries)]
        after = file.tell()
        values = {
            tag: _read_values(file, order, word, kind, count, inline)
            for tag, kind, count, inline in fields
            if tag in (_SUBFILE_TYPE, _WIDTH, _LENGTH, _TILE_OFFSETS, _TILE_BYTE_COUNTS)
        }
        yield TiffImage(
            directory_offset=offset,
            shape_yx=(values[_LENGTH][0], values[_WIDTH][0]),
            is_overview=bool(values.get(_SUBFILE_TYPE, (0,))[0] & 1),
            tile_offsets=values[_TILE_OFFSETS],
            tile_sizes=values[_TILE_BYTE_COUNTS],
        )
        file.seek(after)


def _read_values(
    file: BinaryIO, order: str, word: str, kind: int, count: int, inline: bytes
) -> tuple[int, ...]:
    layout = f"{order}{count}{_INTEGERS[kind]}"
    size = struct.calcsize(layout)
    if size <= len(inline):
        return struct.unpack(layout, inline[:size])
    file.seek(struct.unpack(order + word, inline)[0])
    return _unpack(file, layout)


def _unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
