"""Colours of hands, fingers and objects, the same in every picture: the right hand warm, the left hand cold."""

from occrobnet_jax.skeleton import FINGERS, finger_of

Colour = tuple[int, int, int]

_WARM = ((176, 18, 70), (226, 38, 30), (247, 110, 16), (252, 172, 20), (250, 226, 60))
_COLD = ((92, 40, 190), (36, 84, 226), (20, 152, 240), (20, 205, 210), (90, 230, 130))

FINGER_COLOURS = tuple(dict(zip(FINGERS, colours, strict=True)) for colours in (_WARM, _COLD))
"""RGB by finger, of the right and of the left hand."""

WRIST_COLOUR: Colour = (250, 250, 250)
OBJECT_COLOUR: Colour = (236, 72, 212)
AXIS_COLOURS: tuple[Colour, ...] = ((235, 60, 60), (70, 200, 90), (70, 120, 250))
OUTLINE: Colour = (16, 16, 24)


def joint_colour(hand: int, joint: int) -> Colour:
    """RGB of a joint, and of the bone that leads to it."""
    return FINGER_COLOURS[hand].get(finger_of(joint), WRIST_COLOUR)


def css(colour: Colour) -> str:
    """Return the colour as "#rrggbb"."""
    return "#" + bytes(colour).hex()
