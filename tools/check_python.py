"""Ends with a sentence where this Python is none that the locked requirements are made for."""

import sys

OLDEST, NEWEST = (3, 11), (3, 13)

if __name__ == "__main__" and not OLDEST <= sys.version_info[:2] <= NEWEST:
    sys.exit(
        f"Python {sys.version.split()[0]} is not supported, only 3.11, 3.12 and 3.13; "
        "name one of them, for example: make demo PYTHON=python3.12"
    )
