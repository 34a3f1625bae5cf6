"""Where the checkpoints of a run lie, and of which steps there are: python -m occrobnet_jax.runs.checkpoint_folders DIR

Prints the newest step of the workdir DIR, here or in a bucket; an empty line where there is none. For schedulers' scripts, so
that it loads neither JAX nor orbax.
"""

import argparse
import sys
from collections.abc import Sequence

from occrobnet_jax.files.paths import AnyPath, absolute, in_bucket, path_argument, reaching
from occrobnet_jax.runs.checksums import is_sealed

FOLDER = "checkpoints"


def checkpoint_steps(workdir: AnyPath) -> list[int]:
    """Return the steps of the checkpoints in a workdir, damaged ones too, in ascending order.

    In a bucket, where a folder can't get its name when it is complete, the file of checksums says that it is.
    """
    folder = workdir / FOLDER
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    steps = sorted(int(name) for name in names if name.isdecimal())
    return [step for step in steps if is_sealed(folder / str(step))] if in_bucket(folder) else steps


def checkpoint_directory(workdir: AnyPath, step: int) -> AnyPath:
    """Return the folder of a step's checkpoint."""
    return absolute(workdir / FOLDER / str(step))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the newest step of the workdir that the command line names; return the exit status."""
    parser = argparse.ArgumentParser("python -m occrobnet_jax.runs.checkpoint_folders", description=__doc__)
    parser.add_argument("workdir", type=path_argument, metavar="DIR")
    workdir = parser.parse_args(arguments).workdir
    try:
        with reaching(workdir):
            steps = checkpoint_steps(workdir)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(*steps[-1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
