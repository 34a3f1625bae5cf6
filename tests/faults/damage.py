"""Random damage to checkpoints: what is restored then."""

from pathlib import Path

import numpy as np

from occrobnet_jax.runs.checkpoint_folders import FOLDER
from occrobnet_jax.runs.checksums import find_damage
from occrobnet_jax.runs.restore import restore_state
from occrobnet_jax.runs.state import state_sha256
from tests.faults.experiments import Finding, Lab
from tests.runs.test_checkpoint import abstract, new_state, save

NOTES = ("_CHECKPOINT_METADATA", "commit_success.txt")
WIDTH = 4096


def damage(lab: Lab, flips: int, truncations: int, seed: int = 0) -> Finding:
    """Random damage to the newest of two checkpoints: one bit anywhere in its files, or a file cut off.

    Orbax's notes about the writing are left out: nothing is read from them.
    """
    workdir, rng = lab.workdir("damaged"), np.random.default_rng(seed)
    before = new_state(1, width=4096)
    save(workdir, {10: before, 20: new_state(2, width=4096)})
    newest, wanted = workdir / FOLDER / "20", state_sha256(before)
    files = sorted(path for path in newest.rglob("*") if path.is_file() and path.name not in NOTES)
    sizes = np.array([path.stat().st_size for path in files], float)
    detected = continued = 0
    for number in range(flips + truncations):
        path = (
            files[rng.choice(len(files), p=sizes / sizes.sum())]
            if number < flips
            else rng.choice(np.array(files)[sizes > 0])
        )
        sound = path.read_bytes()
        (flip_bit if number < flips else truncate)(path, rng)
        detected += bool(find_damage(newest))
        state, meta = restore_state(workdir, abstract(before)) or (before, None)
        continued += meta is not None and meta.step == 10 and state_sha256(state) == wanted
        if newest.with_name("20.damaged").exists():
            newest.with_name("20.damaged").rename(newest)
        path.write_bytes(sound)
    state, meta = restore_state(workdir, abstract(before)) or (before, None)
    mended = meta is not None and meta.step == 20
    total = flips + truncations
    verdict = (
        f"of {flips} bit flips and {truncations} truncations {detected} detected, {continued} continued from the one "
        f"before; undone, the newest is used: {mended}"
    )
    for path, size in zip(files, sizes, strict=True):
        lab.tell(f"{path.relative_to(newest)}: {int(size)} bytes")
    return Finding(verdict, detected == continued == total and mended)


def flip_bit(path: Path, rng: np.random.Generator) -> None:
    """Turns one random bit of a file around."""
    content = bytearray(path.read_bytes())
    bit = int(rng.integers(8 * len(content)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def truncate(path: Path, rng: np.random.Generator) -> None:
    """Cuts a file off at a random place."""
    content = path.read_bytes()
    path.write_bytes(content[: int(rng.integers(len(content)))])
