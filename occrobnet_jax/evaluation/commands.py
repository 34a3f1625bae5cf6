"""What the command lines of this folder share: their help, and how mistakes reach the user."""

import argparse
import sys
from collections.abc import Callable


def command_parser(name: str, words: str | None) -> argparse.ArgumentParser:
    """Return the parser of `python -m occrobnet_jax.evaluation.NAME`; `words`, the module's own, are its help."""
    return argparse.ArgumentParser(
        prog=f"python -m occrobnet_jax.evaluation.{name}",
        description=words,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def exit_status(command: Callable[[argparse.Namespace], int | None], options: argparse.Namespace) -> int:
    """Run a command; a mistake of the user's becomes one sentence on standard error, and status 1."""
    try:
        return command(options) or 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
