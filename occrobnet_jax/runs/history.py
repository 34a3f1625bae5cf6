"""metrics.jsonl, the record of a run's numbers: one JSON object a line, `step` first."""

import json
import math
from typing import Any

from occrobnet_jax.files.paths import AnyPath
from occrobnet_jax.files.readers import read_bytes

METRICS_FILE = "metrics.jsonl"
MAX_BYTES = 2**30
Row = dict[str, Any]


def read_history(path: AnyPath) -> list[Row]:
    """Return the lines of a metrics.jsonl, numbers by name; none where the file is missing.

    What is no such line is left out: half of one, of a run that is still writing, or whatever else got into the file.

    Raises:
        ValueError: the file is too large or can't be read.
    """
    lines = read_bytes(path, MAX_BYTES).splitlines() if path.is_file() else []
    return [row for line in lines if (row := _row(line))]


def _row(line: bytes) -> Row:
    """Return a line's numbers; nothing where it has no step."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or not _is_number(content.get("step")):
        return {}
    return {name: value for name, value in content.items() if value is None or _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
