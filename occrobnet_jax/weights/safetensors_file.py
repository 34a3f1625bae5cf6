"""Reading safetensors of anyone's: what can't be read is one short sentence."""

from typing import NamedTuple

import numpy as np
from safetensors import safe_open

from occrobnet_jax.files.paths import AnyPath

MAX_REASON = 200  # characters of what comes from a file, in a message


class SafetensorsFile(NamedTuple):
    """The content of a file."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def read_safetensors(path: AnyPath) -> SafetensorsFile:
    """Read a whole file.

    Raises:
        ValueError: there is no such file, or it can't be read.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dictionary)
            return SafetensorsFile(arrays, file.metadata() or {})
    except Exception as error:  # such as AttributeError for a type that NumPy doesn't have
        reason = str(error)[:MAX_REASON]
        raise ValueError(f"{path} can't be read as safetensors, perhaps an incomplete download: {reason}") from error
