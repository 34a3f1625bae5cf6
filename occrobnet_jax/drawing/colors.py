"""Colours of hands, fingers and objects, the same in every picture: the right hand warm, the left hand cold."""

from occrobnet_jax.skeleton import FINGERS, finger_of

Color = tuple[int, int, int]

_WARM = ((176, 18, 70), (226, 38, 30), (247, 110, 16), (252, 172, 20), (250, 226, 60))
_COLD = ((92, 40, 190), (36, 84, 226), (20, 152, 240), (20, 205, 210), (90, 230, 130))

FINGER_COLORS = tuple(dict(zip(FINGERS, colors, strict=True)) for colors in (_WARM, _COLD))
"""RGB by finger, of the right and of the left hand."""

WRIST_COLOR: Color = (250, 250, 250)
OBJECT_COLOR: Color = (236, 72, 212)
AXIS_COLORS: tuple[Color, ...] = ((235, 60, 60), (70, 200, 90), (70, 120, 250))
OUTLINE: Color = (16, 16, 24)


def joint_color(hand: int, joint: int) -> Color:
    """Return the color (RGB) of a joint, and of the bone that leads to it."""
    return FINGER_COLORS[hand].get(finger_of(joint), WRIST_COLOR)


def css(color: Color) -> str:
    """Return the colour as "#rrggbb"."""
    return "#" + bytes(color).hex()
