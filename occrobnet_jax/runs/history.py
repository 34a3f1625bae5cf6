"""metrics.jsonl, the record of a run's numbers: one JSON object a line, `step` first."""

import json
from typing import Any

from occrobnet_jax.files.paths import AnyPath

METRICS_FILE = "metrics.jsonl"


def read_history(path: AnyPath) -> list[dict[str, Any]]:
    """Return the lines of a metrics.jsonl; none where the file is missing, and up to the first one that is broken."""
    lines = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break  # a run that is still writing
    return lines
