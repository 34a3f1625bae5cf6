"""Where the checkpoints of a run lie, and of which steps there are: python -m occrobnet_jax.runs.checkpoint_folders DIR

Prints the newest step of the workdir DIR, here or in a bucket; an empty line where there is none. For schedulers'
scripts, so that it loads neither JAX nor orbax.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from occrobnet_jax.files.copies import move, remove
from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, path_argument, reaching
from occrobnet_jax.runs.checksums import is_sealed
from occrobnet_jax.user_errors import exit_status

FOLDER = "checkpoints"
STEP = re.compile(r"0|[1-9][0-9]{0,8}")  # a checkpoint's name


def checkpoint_steps(workdir: AnyPath) -> list[int]:
    """Return the steps of the checkpoints in a workdir, damaged ones too, in ascending order; links are none.

    In a bucket, where a folder can't get its name when it is complete, the file of checksums says that it is.
    """
    folder = workdir / FOLDER
    paths = [path for path in folder.iterdir() if STEP.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(int(path.name) for path in paths if (is_sealed(path) if in_bucket(path) else _is_own_folder(path)))


def checkpoint_directory(workdir: AnyPath, step: int) -> AnyPath:
    """Return the folder of a step's checkpoint."""
    return absolute(workdir / FOLDER / str(step))


def put_strays_aside(workdir: AnyPath) -> None:
    """Rename what has the name of a checkpoint but is none, such as a file or a link: orbax would trip over it.

    A link is renamed itself; what it points to is left alone.
    """
    folder = workdir / FOLDER
    if in_bucket(folder) or not folder.is_dir():
        return
    for path in list(folder.iterdir()):
        if path.name.isdecimal() and not (STEP.fullmatch(path.name) and _is_own_folder(path)):
            put_aside(path)


def put_aside(path: AnyPath) -> None:
    """Rename an entry of the checkpoints' folder to NAME.damaged, in the place of what has that name."""
    aside = path.with_name(f"{path.name}.damaged")
    logging.warning("%s is no sound checkpoint; it is %s now", path, aside.name)
    remove(aside)
    move(path, aside)


def _is_own_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the newest step of the workdir that the command line names; return the exit status."""
    parser = argparse.ArgumentParser("python -m occrobnet_jax.runs.checkpoint_folders", description=__doc__)
    parser.add_argument("workdir", type=path_argument, metavar="DIR")
    return exit_status(_print_newest, parser.parse_args(arguments).workdir)


def _print_newest(workdir: AnyPath) -> None:
    with reaching(workdir):
        print(*checkpoint_steps(workdir)[-1:])


if __name__ == "__main__":
    sys.exit(main())
