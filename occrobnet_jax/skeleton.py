"""The hand skeleton: joint names, parents, bones, and the joint orders that datasets use.

Inside the project every array of joints is `[..., hand, joint, ...]` with hand 0 = right and 1 = left, and the
21 joints in InterHand2.6M's order (thumb, index, middle, ring, pinky, each from the tip to the base; wrist last).
Other orders are converted at the border, by name: `joints[..., permutation(OPENPOSE, INTERHAND), :]`.
"""

RIGHT, LEFT = 0, 1
HAND_NAMES = ("right", "left")
NUM_HANDS = 2

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
JOINTS_PER_FINGER = 4
INTERHAND = tuple(f"{finger}{i}" for finger in FINGERS for i in (4, 3, 2, 1)) + ("wrist",)
"""InterHand2.6M's order, ours: 4 is the tip, 1 the base (thumb1 = CMC, the others' 1 = MCP)."""

NUM_JOINTS = len(INTERHAND)
WRIST = INTERHAND.index("wrist")
MIDDLE_BASE = INTERHAND.index("middle1")

PARENTS = tuple(i + 1 if name[-1] in "234" else WRIST for i, name in enumerate(INTERHAND[:WRIST])) + (-1,)
"""Index of each joint's parent, one joint nearer to the wrist; -1 for the wrist."""

BONES = tuple((PARENTS[child], child) for child in range(WRIST))
"""(parent, child) of the 20 bones, in the order of their child joints."""

HO3D = (
    ("wrist",)
    + tuple(f"{finger}{i}" for finger in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3))
    + tuple(f"{finger}4" for finger in FINGERS)
)
"""HO-3D's and MANO's order: pinky before ring in the body, ring before pinky among the tips."""

POSED_JOINTS = HO3D[:16]
"""The joints that a hand's pose turns, in its order: the wrist (the whole hand), then three of each finger."""

OPENPOSE = ("wrist",) + tuple(f"{finger}{i}" for finger in FINGERS for i in (1, 2, 3, 4))
"""OpenPose's order, also that of FreiHAND and MediaPipe."""

VISIBILITY = ("unknown", "visible", "own_hand", "other_hand", "object", "outside", "something")
"""Names of the values of `visibility`: what hides a joint, if anything does; "something" where only that is known."""

SCENE_KINDS = ("one_hand", "hand_object", "two_hands", "two_hands_object")

ARMS = ("none", "occluded", "shadowed", "free", "aside")
"""Names of the values of `arm`, one of several pictures of a scene that differ in what is before the hands: an occluder
without and with its shadow, none, and the occluder beside the hands."""


def permutation(source: tuple[str, ...], target: tuple[str, ...]) -> list[int]:
    """Return indices that reorder joints: `joints[permutation(source, target)]` is in the target's order.

    Raises:
        ValueError: a joint of the target order does not exist in the source order.
    """
    missing = sorted(set(target) - set(source))
    if missing:
        raise ValueError(f"joints {missing} are not in the source order {source}")
    return [source.index(name) for name in target]


def finger_of(joint: int) -> str:
    """Return the name of the finger that joint number `joint` (InterHand2.6M order) belongs to, or "wrist"."""
    return INTERHAND[joint].rstrip("1234")
