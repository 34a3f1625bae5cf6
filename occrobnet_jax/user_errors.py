"""How a command tells its user of a mistake: one sentence on standard error, and exit status 1.

`command_line` does the same for the programs that load libraries whose own errors are to be traced back.
"""

import sys
from collections.abc import Callable
from typing import Any


def exit_status(command: Callable[..., int | None], *arguments: Any) -> int:
    """Run a command and return its exit status, 0 where it returns none."""
    try:
        return command(*arguments) or 0
    except (ValueError, OSError) as error:  # a full disk, a folder or bucket that can't be written
        print(f"error: {error}", file=sys.stderr)
        return 1
