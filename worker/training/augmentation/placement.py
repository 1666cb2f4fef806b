"""Reads crops out of photos: moved, zoomed, turned and mirrored, with mirror images beyond the photo's edges."""

from typing import Any

from keras import ops


def crops(pixels: Any, shapes: Any, place: dict[str, Any], side_px: int) -> Any:
    """Photos as `photo_store` packs them, (batch, pixels, 3), 0..255, and their shapes (batch, 2), height and width,
    px -> crops (batch, side, side, 3), 0..255. `place` is of `draw_placements`.
    """
    x, y = _points(place, side_px)
    level = place["level"]
    heights, widths = _of_level(shapes[:, 0], level), _of_level(shapes[:, 1], level)
    factor = ops.cast(ops.left_shift(ops.ones_like(level), level), "float32")[:, None, None]
    origin = place["origin"][:, :, None, None]
    u = (x + origin[:, 0]) / factor - 0.5
    v = (y + origin[:, 1]) / factor - 0.5
    start = ops.arange(pixels.shape[0], dtype="int32") * pixels.shape[1] + _level_start(shapes, level)
    return _between_pixels(ops.reshape(pixels, (-1, 3)), start, heights, widths, u, v)


def crops_of_cells(cells: Any, place: dict[str, Any], side_px: int) -> Any:
    """Values in cells (batch, cells, cells, channels) that cover a photo's box -> their crops, at the same places as
    the photo's crops, interpolated: (batch, side, side, channels).
    """
    x, y = _points(place, side_px)
    batch, rows, columns, channels = cells.shape
    u = x / place["size"][:, 0, None, None] * columns - 0.5
    v = y / place["size"][:, 1, None, None] * rows - 0.5
    start = ops.arange(batch, dtype="int32") * rows * columns
    height, width = ops.full((batch,), rows, "int32"), ops.full((batch,), columns, "int32")
    return _between_pixels(ops.reshape(cells, (-1, channels)), start, height, width, u, v)


def _points(place: dict[str, Any], side_px: int) -> tuple[Any, Any]:
    """Where in its photo's box each pixel of a crop lies: x and y (batch, side, side), px, mirrored into the box."""
    middle = ops.arange(side_px, dtype="float32") + 0.5 - side_px / 2
    turn, centre, size = (place[name][..., None, None] for name in ("turn", "centre", "size"))
    across, down = middle[None, None, :], middle[None, :, None]
    x = centre[:, 0] + turn[:, 0, 0] * across + turn[:, 0, 1] * down
    y = centre[:, 1] + turn[:, 1, 0] * across + turn[:, 1, 1] * down
    return _mirrored(x, size[:, 0]), _mirrored(y, size[:, 1])


def _mirrored(point: Any, length: Any) -> Any:
    return length - ops.abs(length - ops.mod(point, 2 * length))


def _of_level(length: Any, level: Any) -> Any:
    return ops.right_shift(length, level)


def _level_start(shapes: Any, level: Any) -> Any:
    """At which pixel of its row a photo's level begins."""
    height, width = shapes[:, 0], shapes[:, 1]
    whole = height * width
    half = (height // 2) * (width // 2)
    return ops.where(level > 0, whole, 0) + ops.where(level > 1, half, 0)


def _between_pixels(values: Any, start: Any, heights: Any, widths: Any, u: Any, v: Any) -> Any:
    """Bilinear values (batch, side, side, channels) at column u and row v of pictures that begin at `start`."""
    heights, widths, start = (one[:, None, None] for one in (heights, widths, start))
    u = ops.clip(u, 0.0, ops.cast(widths - 1, "float32"))
    v = ops.clip(v, 0.0, ops.cast(heights - 1, "float32"))
    left, top = ops.cast(ops.floor(u), "int32"), ops.cast(ops.floor(v), "int32")
    right, below = ops.minimum(left + 1, widths - 1), ops.minimum(top + 1, heights - 1)
    across = (u - ops.cast(left, "float32"))[..., None]
    down = (v - ops.cast(top, "float32"))[..., None]
    first, second = start + top * widths, start + below * widths

    def read(row: Any, column: Any) -> Any:
        return ops.cast(ops.take(values, row + column, axis=0), "float32")

    upper = read(first, left) * (1 - across) + read(first, right) * across
    lower = read(second, left) * (1 - across) + read(second, right) * across
    return upper * (1 - down) + lower * down
