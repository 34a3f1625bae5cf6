"""All conventions, by the names that numbers carry."""

import difflib

from occrobnet_jax.evaluation.metrics.protocols import (
    grasp,
    h2o3d,
    ho3d,
    interhand26m,
    object_pose,
    two_hand_mesh,
)
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, switched

CONVENTIONS: tuple[Convention, ...] = (
    *interhand26m.PUBLISHED,
    *two_hand_mesh.PUBLISHED,
    *ho3d.PUBLISHED,
    *h2o3d.PUBLISHED,
    *object_pose.PUBLISHED,
    *grasp.PUBLISHED,
)


def find(name: str) -> list[Convention]:
    """Return the conventions of a name: a single one ("interhand26m/kypt+wrist=left_out"), or all of a benchmark
    ("interhand26m").

    Raises:
        ValueError: there is none, or no such switch.
    """
    base, *switches = name.split("+")
    found = [each for each in CONVENTIONS if each.name == base or each.name.split("/")[0] == base]
    if not found:
        near = difflib.get_close_matches(base, [each.name for each in CONVENTIONS], n=3, cutoff=0.4)
        raise ValueError(f"there is no protocol {base!r}; near are {', '.join(near) or 'none'}, --list shows all")
    return [switched(each, _parsed(switches, name)) for each in found] if switches else found


def in_words() -> str:
    """Return every convention and its switches, for `--list`."""
    lines = []
    for each in CONVENTIONS:
        lines += [each.name, f"    {each.words}"]
        lines += [f"    +{name}={'|'.join(values)}" for name, values in each.SWITCHES.items()]
    return "\n".join(lines)


def _parsed(switches: list[str], name: str) -> dict[str, str]:
    pairs = [switch.partition("=") for switch in _with_plus(switches)]
    if not all(equals and value for _, equals, value in pairs):
        raise ValueError(f"{name!r} must look like interhand26m/kypt+wrist=left_out")
    return {key: value for key, _, value in pairs}


def _with_plus(switches: list[str]) -> list[str]:
    """Return the values of a switch with H+M, which has a plus in it, in one piece."""
    joined: list[str] = []
    for part in switches:
        if "=" not in part and joined:
            joined[-1] += f"+{part}"
        else:
            joined.append(part)
    return joined
