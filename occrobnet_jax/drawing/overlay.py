"""Skeletons and object boxes drawn over pictures.

Right hands are warm, left hands cold, each finger has its shade. What is hidden is drawn hollow, and the bone that
leads there dashed.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from occrobnet_jax.drawing.colors import AXIS_COLORS, OBJECT_COLOR, OUTLINE, Color, css, joint_color
from occrobnet_jax.skeleton import BONES, FINGERS, HAND_NAMES, JOINTS_PER_FINGER, NUM_JOINTS

SUBPIXEL_BITS = 4
JPEG_MOST_PX = 65_500  # libjpeg's limit
DASH_PX = 5.0  # length of a dash, and of the gap after it, in line widths 1
BOX_EDGES = tuple((a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit)
"""Pairs of corners of a box whose corner numbers differ in one bit (x, y, z)."""

Canvas = UInt8[np.ndarray, "_ _ 3"]


@dataclasses.dataclass(frozen=True)
class Figure:
    """What is drawn over one picture, in its pixels."""

    joints_px: Float[np.ndarray, "2 21 2"]
    shown: Bool[np.ndarray, "2 21"]
    hidden: Bool[np.ndarray, "2 21"]
    corners_px: Float[np.ndarray, "8 2"] | None = None  # of the object


def enlarged(image: Canvas, factor: int) -> Canvas:
    """Return the picture in `factor` times as many pixels along each side."""
    height, width = image.shape[:2]
    return cv2.resize(image, (factor * width, factor * height), interpolation=cv2.INTER_CUBIC)


def draw_figure(image: Canvas, figure: Figure, factor: int = 1) -> Canvas:
    """Return a copy of the picture, enlarged `factor` times, with the figure drawn over it."""
    canvas = enlarged(image, factor)
    thickness = _thickness(canvas)
    if figure.corners_px is not None:
        _draw_box(canvas, _scaled(figure.corners_px, factor), thickness)
    joints_px = _scaled(figure.joints_px, factor)
    for hand in range(len(HAND_NAMES)):
        _draw_hand(canvas, joints_px[hand], figure.shown[hand], figure.hidden[hand], hand, thickness)
    return canvas


def draw_keypoints(
    image: Canvas, keypoints_px: Float[np.ndarray, "t 2"], classes: Int[np.ndarray, " t"], factor: int = 1
) -> Canvas:
    """Return a copy of the picture, enlarged `factor` times, with detected keypoints in the colours of the joints they
    are taken for; rings are those taken for nothing.
    """
    canvas = enlarged(image, factor)
    radius = max(2, round(min(canvas.shape[:2]) / 90))
    for point, kind in zip(_scaled(keypoints_px, factor), classes, strict=True):
        _draw_joint(canvas, point, class_color(int(kind)), radius, hollow=bool(kind == 0))
    return canvas


def class_color(kind: int) -> Color:
    """Return the color (RGB) of a class of tokens: 0 none, 1 to 21 right, 22 to 42 left, 43 object."""
    if kind == 0:
        return (255, 255, 255)
    hand, joint = divmod(kind - 1, NUM_JOINTS)
    return joint_color(hand, joint) if hand < len(HAND_NAMES) else OBJECT_COLOR


def draw_axes(image: Canvas, origin_px: Float[np.ndarray, "2"], ends_px: Float[np.ndarray, "3 2"]) -> Canvas:
    """Return a copy of the picture with the x, y and z axis of an object in red, green and blue."""
    canvas = image.copy()
    thickness = _thickness(canvas)
    for end, color in zip(ends_px, AXIS_COLORS, strict=True):
        _draw_line(canvas, origin_px, end, OUTLINE, thickness + 2, dashed=False)
        _draw_line(canvas, origin_px, end, color, thickness, dashed=False)
    return canvas


def draw_rectangle(image: Canvas, box_px: Float[np.ndarray, "4"]) -> Canvas:
    """Return a copy of the picture with the box x0, y0, x1, y1 drawn in it."""
    canvas = image.copy()
    x0, y0, x1, y1 = box_px
    corners = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        _draw_line(canvas, start, end, (255, 255, 255), _thickness(canvas), dashed=True)
    return canvas


def side_by_side(panels: list[Canvas], gap_px: int = 4) -> Canvas:
    """Put pictures of equal height in a row."""
    gap = np.full((panels[0].shape[0], gap_px, 3), 255, np.uint8)
    row = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(row[1:], axis=1)


def encode_jpeg(image: Canvas, quality: int = 88) -> bytes:
    """Return the picture as a JPEG file, with colors as fine as brightness, which thin lines need.

    Raises:
        ValueError: the picture has more pixels along a side than JPEG can hold.
    """
    height, width = image.shape[:2]
    if max(height, width) > JPEG_MOST_PX:
        raise ValueError(f"{width:,} x {height:,} px are more than JPEG's {JPEG_MOST_PX:,} a side; make it smaller")
    colors = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return cv2.imencode(".jpg", _in_bgr(image), [cv2.IMWRITE_JPEG_QUALITY, quality, *colors])[1].tobytes()


def _in_bgr(image: Canvas) -> Canvas:
    """Return the picture as OpenCV writes it; of a reversed view it would make a copy pixel by pixel."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2BGR)


def legend() -> list[tuple[str, str]]:
    """Name and CSS colours of what is drawn."""
    fingers = [
        (f"{hand} {finger}", css(joint_color(i, JOINTS_PER_FINGER * f)))
        for i, hand in enumerate(HAND_NAMES)
        for f, finger in enumerate(FINGERS)
    ]
    return [*fingers, ("object", css(OBJECT_COLOR))]


def _thickness(canvas: Canvas) -> int:
    return max(1, round(min(canvas.shape[:2]) / 160))


def _scaled(points_px: Float[np.ndarray, "*n 2"], factor: int) -> Float[np.ndarray, "*n 2"]:
    """Return the same places in a picture enlarged `factor` times; pixel centres lie at integers in both."""
    return (points_px + 0.5) * factor - 0.5


def _draw_hand(
    canvas: Canvas,
    joints_px: Float[np.ndarray, "21 2"],
    shown: Bool[np.ndarray, "21"],
    hidden: Bool[np.ndarray, "21"],
    hand: int,
    thickness: int,
) -> None:
    """Draw bones first, all outlines below all colors, then joints."""
    bones = [(parent, child) for parent, child in BONES if shown[parent] and shown[child]]
    _draw_pieces(canvas, joints_px[np.array(bones, int).reshape(-1, 2)], OUTLINE, thickness + 2)
    for parent, child in bones:
        color, dashed = joint_color(hand, child), bool(hidden[child])
        _draw_line(canvas, joints_px[parent], joints_px[child], color, thickness, dashed=dashed)
    for joint in np.flatnonzero(shown):
        _draw_joint(canvas, joints_px[joint], joint_color(hand, int(joint)), thickness + 2, hollow=bool(hidden[joint]))


def _draw_box(canvas: Canvas, corners_px: Float[np.ndarray, "8 2"], thickness: int) -> None:
    for width, color in ((thickness + 2, OUTLINE), (thickness, OBJECT_COLOR)):
        _draw_pieces(canvas, corners_px[np.array(BOX_EDGES)], color, width)


def _draw_line(canvas: Canvas, start: np.ndarray, end: np.ndarray, color: Color, width: int, *, dashed: bool) -> None:
    stops = np.array([start, end])
    if dashed:  # only what can be seen: a line to somewhere far away would have millions of dashes
        start, end = _in_view(canvas, start, end)
        count = max(2, int(np.linalg.norm(end - start) / (DASH_PX * np.sqrt(width))))
        stops = start + np.linspace(0, 1, 2 * count)[:, None] * (end - start)
    _draw_pieces(canvas, stops.reshape(-1, 2, 2), color, width)


def _draw_pieces(canvas: Canvas, ends: Float[np.ndarray, "n 2 2"], color: Color, width: int) -> None:
    """Draw lines of one color, each from its first end to its second."""
    cv2.polylines(canvas, list(_fixed(ends)), False, color, width, cv2.LINE_AA, SUBPIXEL_BITS)


def _in_view(canvas: Canvas, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the part of a line that lies within the picture; the same point twice where none does."""
    way = np.where(end == start, 1e-9, end - start)
    crossings = (np.array([[0, 0], canvas.shape[1::-1]]) - start) / way  # of each axis' two borders, as shares of it
    first, last = np.clip([crossings.min(0).max(), crossings.max(0).min()], 0, 1)
    return start + first * (end - start), start + max(first, last) * (end - start)


def _draw_joint(canvas: Canvas, point: np.ndarray, color: Color, radius: int, *, hollow: bool) -> None:
    center, size = _fixed(point).tolist(), radius << SUBPIXEL_BITS
    cv2.circle(canvas, center, size + (1 << SUBPIXEL_BITS), OUTLINE, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    cv2.circle(canvas, center, size, color, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    if hollow:
        inner = max(1, radius - 2) << SUBPIXEL_BITS
        cv2.circle(canvas, center, inner, OUTLINE, -1, cv2.LINE_AA, SUBPIXEL_BITS)


def _fixed(points: Float[np.ndarray, "*n 2"]) -> Int[np.ndarray, "*n 2"]:
    """Return coordinates in OpenCV's fixed point; far away ones are clipped to what it can hold."""
    limit = 1 << 14
    return np.rint(points.clip(-limit, limit) * (1 << SUBPIXEL_BITS)).astype(np.int32)
