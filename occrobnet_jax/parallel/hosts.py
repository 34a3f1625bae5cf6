"""The processes of a run, and what differs between them: who leads, and who holds what.

Every host runs the same program and the same jitted calls in the same order. Only writing to files and to the
screen asks `is_lead()`; no collective ever stands behind it.
"""

import dataclasses
import json
import os
import re
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from occrobnet_jax.parallel import coordination
from occrobnet_jax.parallel.supervise import HOSTS_FILE_VARIABLE, START_LIMIT_S

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
"""The environment variables that make this process one of several."""
AUTO = "auto"
"""In place of an address: JAX asks the cluster (SLURM, Open MPI, TPU VMs, GKE) who the others are."""
LEAD_STAYS_S = 2.0  # the coordination service ends with the lead: others first read why the run ends
FROM_THE_NETWORK = re.compile(r"Gloo|NCCL|UNAVAILABLE|DEADLINE_EXCEEDED|coordination|[Cc]onnection")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""What Linux calls a machine from one start to the next; containers share it."""

_heartbeat_s = 0
_num_machines = 1


@dataclasses.dataclass(frozen=True)
class HostsConfig:
    """Fields of `config.hosts`."""

    # A host that gave no sign of life for so long is lost, and the run ends on all others. JAX has 100; 20 wastes less
    # time of tens of hosts where one is lost. Where networks or hosts pause for longer and come back, take 100.
    heartbeat_s: int = 20
    watchdog_minutes: float = 30.0  # without the end of a step: stacks are printed and the process ends; 0 is never

    def __post_init__(self) -> None:
        if self.heartbeat_s < 1 or self.watchdog_minutes < 0:
            raise ValueError(
                f"hosts.heartbeat_s={self.heartbeat_s} must be at least 1, and "
                f"hosts.watchdog_minutes={self.watchdog_minutes} not negative"
            )


def initialize(config: HostsConfig, given: Mapping[str, str] | None = None, *, saves_on_sigterm: bool = False) -> None:
    """Join the other processes where there are any; call it before anything asks for devices.

    Args:
        config: how long to wait for a sign of life.
        given: values of the three variables that go before the environment's.
        saves_on_sigterm: SIGTERM is then only noted, on all hosts (see `preemption`); otherwise it ends the process.

    Raises:
        ValueError: only some of the three variables are set, or they are not numbers.
    """
    global _heartbeat_s, _num_machines
    address = _address({**os.environ, **(given or {})})
    if address is None:
        return
    _heartbeat_s = config.heartbeat_s
    jax.config.update("jax_enable_preemption_service", saves_on_sigterm)
    jax.distributed.initialize(
        **address, heartbeat_timeout_seconds=config.heartbeat_s, initialization_timeout=START_LIMIT_S
    )
    names = coordination.introduce(f"{socket.gethostname()}, process {os.getpid()}")
    _num_machines = len(set(coordination.exchange("machine", _machine())))
    if path := os.environ.get(HOSTS_FILE_VARIABLE):
        Path(path).write_text(json.dumps({"host": host_index(), "names": names}))


def host_index() -> int:
    """Return the number of this process, from 0."""
    return jax.process_index()


def num_hosts() -> int:
    """Return how many processes run together."""
    return jax.process_count()


def num_machines() -> int:
    """Return how many machines the processes run on."""
    return _num_machines


def is_lead() -> bool:
    """Return whether this process writes the files and talks to the user."""
    return jax.process_index() == 0


def leave(error: BaseException) -> None:
    """End this process after an error that has been shown, where there are others; return where it is alone.

    An orderly end would wait for them, while they wait for it in a collective. Where the error may come from another
    host's loss, the coordination service gets the time to say who was lost; that ends the process, too.
    """
    if not jax.distributed.is_initialized():
        return
    sys.stdout.flush()
    sys.stderr.flush()
    if FROM_THE_NETWORK.search(str(error)) and not isinstance(error, TimeoutError):
        time.sleep(_heartbeat_s + 5)
    elif is_lead():
        time.sleep(LEAD_STAYS_S)
    os._exit(1)


def fetch(tree: PyTree[Any]) -> PyTree[np.ndarray]:
    """Return the whole of every array of a tree, as NumPy, on every host; all hosts must call it."""
    if num_hosts() == 1:
        return jax.device_get(tree)  # all at once, instead of waiting for one array after the other
    return jax.tree.map(_fetch_array, tree)


def _fetch_array(array: jax.Array) -> np.ndarray:
    if isinstance(array, jax.Array) and not (array.is_fully_addressable or array.is_fully_replicated):
        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)


def _machine() -> str:
    """Return a name for this machine that no other has."""
    return BOOT_ID.read_text() if BOOT_ID.exists() else socket.gethostname()


def _address(variables: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the arguments of `jax.distributed.initialize`; None where this process is alone."""
    given = {name: variables[name] for name in (ADDRESS, COUNT, INDEX) if variables.get(name)}
    if given == {ADDRESS: AUTO} or (not given and _is_one_of_a_cluster(variables)):
        os.environ.pop(ADDRESS, None)  # JAX reads it as well
        return _gpus_of_task(variables)
    if not given:
        return None
    if len(given) < 3 or not given[COUNT].isdecimal() or not given[INDEX].isdecimal():
        raise ValueError(
            f"a run of several processes needs {ADDRESS}=host:port and the numbers {COUNT} and {INDEX}, got {given}; "
            f"or {ADDRESS}={AUTO} alone"
        )
    return {
        "coordinator_address": given[ADDRESS],
        "num_processes": int(given[COUNT]),
        "process_id": int(given[INDEX]),
    }


def _gpus_of_task(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return the argument `local_device_ids` for a task of SLURM, whom JAX by itself gives one GPU, of its number on
    the node.

    Here the tasks of a node share its GPUs evenly, and one alone has all of them; [] is what JAX takes for "all that
    are visible". Nothing is said where SLURM doesn't say how many there are, or the user has (JAX_LOCAL_DEVICE_IDS).

    Raises:
        ValueError: they can't be shared evenly.
    """
    if "SLURM_LOCALID" not in variables or variables.get("JAX_LOCAL_DEVICE_IDS"):
        return {}
    tasks, on_node = _tasks_on_node(variables), int(variables.get("SLURM_GPUS_ON_NODE") or 0)
    listed = variables.get("CUDA_VISIBLE_DEVICES", "")
    if tasks == 1 or (listed and len(listed.split(",")) < on_node):  # the latter: SLURM has divided them
        return {"local_device_ids": []}
    if not on_node or not tasks:
        return {}
    if on_node % tasks:
        raise ValueError(
            f"SLURM started {tasks} tasks for the {on_node} GPUs of this node, which can't be shared evenly; give "
            f"--ntasks-per-node=1, or a divisor of {on_node}"
        )
    share, own = on_node // tasks, int(variables["SLURM_LOCALID"])
    return {"local_device_ids": list(range(own * share, (own + 1) * share))}


def _tasks_on_node(variables: Mapping[str, str]) -> int:
    """Return how many tasks of this step run on this node; SLURM writes those of all nodes as "2(x3),1"."""
    listed = variables.get("SLURM_STEP_TASKS_PER_NODE") or variables.get("SLURM_TASKS_PER_NODE") or "0"
    groups = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", group) for group in listed.split(",")]
    counts = [int(group[1]) for group in groups if group for _ in range(int(group[2] or 1))]
    node = int(variables.get("SLURM_NODEID") or 0)
    return counts[node] if node < len(counts) else 0


def _is_one_of_a_cluster(variables: Mapping[str, str]) -> bool:
    """Return whether SLURM's srun or GKE started this process as one of several; of several slices each may have one
    alone.
    """
    by_srun = "SLURM_STEP_NODELIST" in variables and variables.get("SLURM_NTASKS", "1") not in ("", "1")
    workers = variables.get("TPU_PROCESS_ADDRESSES") or variables.get("TPU_WORKER_HOSTNAMES", "")  # as JAX reads them
    several_slices = variables.get("MEGASCALE_NUM_SLICES", "1") not in ("", "1")
    return by_srun or "," in workers or several_slices or "MEGASCALE_COORDINATOR_ADDRESS" in variables
