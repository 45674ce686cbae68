"""Which cells and tiles a window of a product needs."""

from dataclasses import dataclass

from kappamask_udf.models.spec import ModelSpec
from kappamask_udf.pixels import PixelWindow
from kappamask_udf.tiling import TileAxis


@dataclass(frozen=True)
class Plan:
    """Which cells and tiles a window of a product needs."""

    window: PixelWindow
    """What was asked for, 10 m pixels."""
    cells: PixelWindow
    """Cells of the model's grid whose probabilities are needed: the window and its context."""
    rows: TileAxis
    cols: TileAxis
    tile_rows: range
    tile_cols: range

    @property
    def n_tiles(self) -> int:
        """Tiles that the window needs, those without data included."""
        return len(self.tile_rows) * len(self.tile_cols)

    @property
    def input_cells(self) -> PixelWindow:
        """Cells that the tiles are read from."""
        row_cells = [self.rows.cells(index) for index in self.tile_rows]
        col_cells = [self.cols.cells(index) for index in self.tile_cols]
        return PixelWindow(
            min(int(cells.min()) for cells in row_cells),
            max(int(cells.max()) for cells in row_cells) + 1,
            min(int(cells.min()) for cells in col_cells),
            max(int(cells.max()) for cells in col_cells) + 1,
        )


def plan_window(spec: ModelSpec, shape_yx: tuple[int, int], window: PixelWindow | None) -> Plan:
    """The cells and tiles for a window of a product of `shape_yx` 10 m pixels (all of it by
    default).

    Raises:
        ValueError: the window leaves the product.
    """
    whole = PixelWindow(0, shape_yx[0], 0, shape_yx[1])
    window = window or whole
    if window.clipped(shape_yx) != window:
        raise ValueError(f"window {window} leaves the product of {shape_yx} pixels")
    factor = spec.grid_factor
    grid_shape = (-(-shape_yx[0] // factor), -(-shape_yx[1] // factor))
    cells = PixelWindow(
        window.row0 // factor, -(-window.row1 // factor),
        window.col0 // factor, -(-window.col1 // factor),
    )  # fmt: skip
    if factor > 1:
        cells = cells.padded(1).clipped(grid_shape)
    rows, cols = TileAxis(grid_shape[0], spec.tiling), TileAxis(grid_shape[1], spec.tiling)
    return Plan(
        window, cells, rows, cols,
        rows.tiles_touching(cells.row0, cells.row1), cols.tiles_touching(cells.col0, cells.col1),
    )  # fmt: skip
