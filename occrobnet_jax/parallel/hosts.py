"""The processes of a run, and what differs between them: who leads, and who holds what.

Every host runs the same program and the same jitted calls in the same order. Only writing to files and to the
screen asks `is_lead()`; no collective ever stands behind it.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""The environment variables that make this process one of several."""


def initialise() -> None:
    """Joins the other processes where the environment names a coordinator; call it before anything asks for devices.

    Raises:
        ValueError: only some of the three variables are set, or they are not numbers.
    """
    given = {name: os.environ[name] for name in (ADDRESS, COUNT, INDEX) if name in os.environ}
    if not given:
        return
    if len(given) < 3 or not given[COUNT].isdecimal() or not given[INDEX].isdecimal():
        raise ValueError(
            f"a run of several processes needs {ADDRESS}=host:port and the numbers {COUNT} and {INDEX}, got {given}"
        )
    jax.distributed.initialize(given[ADDRESS], int(given[COUNT]), int(given[INDEX]))


def host_index() -> int:
    """Number of this process, from 0."""
    return jax.process_index()


def num_hosts() -> int:
    """How many processes run together."""
    return jax.process_count()


def is_lead() -> bool:
    """Whether this process writes the files and talks to the user."""
    return jax.process_index() == 0


def fetch(tree: PyTree[Any]) -> PyTree[np.ndarray]:
    """The whole of every array of a tree, as NumPy, on every host; all hosts must call it."""
    return jax.tree.map(_fetch_array, tree)


def _fetch_array(array: jax.Array) -> np.ndarray:
    if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)
