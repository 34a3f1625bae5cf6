"""The parser that the command lines of this folder share."""

import argparse


def command_parser(name: str, words: str | None) -> argparse.ArgumentParser:
    """Return the parser of `python -m occrobnet_jax.evaluation.NAME`; `words`, the module's own, are its help."""
    return argparse.ArgumentParser(
        prog=f"python -m occrobnet_jax.evaluation.{name}",
        description=words,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
