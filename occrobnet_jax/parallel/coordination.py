"""Short messages between the hosts of a run, each with a name and a time limit.

They go through the key-value store of JAX's coordination service, so they need no devices and can't hang: a host that
doesn't come within the limit is named. Every host calls these functions in the same order.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import jax
from jax._src import distributed  # the store has no public name

LIMIT_S = 600.0
ABSENT = "none"

_calls = itertools.count()  # a key is written once: the number of the call makes it unique, and alike on all hosts
_names: dict[int, str] = {}


def host_name(host: int) -> str:
    """Return how a host is called in messages: "host 1 (node7, process 4242)"."""
    return f"host {host} ({_names[host]})" if host in _names else f"host {host}"


def introduce(name: str) -> list[str]:
    """Tell the other hosts this one's name, for messages; return all names."""
    names = exchange("names", name)
    _names.update(enumerate(names))
    return names


def exchange(name: str, value: str, limit_s: float = LIMIT_S) -> list[str]:
    """Return every host's value, in the order of the hosts; a barrier too, since nobody returns before all have come.

    Raises:
        TimeoutError: a host didn't come within `limit_s` seconds; says which, and to what.
    """
    state = distributed.global_state
    if state.num_processes == 1:
        return [value]
    key = f"occrobnet/{next(_calls)}/{name}"
    _store().key_value_set(f"{key}/{state.process_id}", value)
    return [_wait_for(host, name, key, limit_s) for host in range(state.num_processes)]


def from_lead(name: str, value: Any, limit_s: float = LIMIT_S) -> Any:
    """Return what the first host passed as `value` (plain JSON), on every host.

    Raises:
        TimeoutError: as `exchange`.
    """
    return json.loads(exchange(name, json.dumps(value), limit_s)[0])


def check_same(name: str, facts: Mapping[str, Any]) -> None:
    """Compare facts (plain JSON) over all hosts.

    Raises:
        ValueError: they differ; names each fact, and which hosts have which value. Every host raises it.
        TimeoutError: as `exchange`.
    """
    everywhere = [json.loads(text) for text in exchange(name, json.dumps(facts, sort_keys=True))]
    differences = _differences(everywhere)
    if differences:
        raise ValueError(f"the hosts don't have the same {name}; start them alike:\n  " + "\n  ".join(differences))


def _differences(everywhere: list[dict[str, Any]]) -> list[str]:
    """Return one phrase for each fact that some host has otherwise than the first."""
    first, phrases = everywhere[0], []
    for host, facts in enumerate(everywhere[1:], 1):
        phrases += [
            f"{name}: {host_name(0)} has {first.get(name, ABSENT)!r}, {host_name(host)} has {facts.get(name, ABSENT)!r}"
            for name in sorted(first | facts)
            if first.get(name, ABSENT) != facts.get(name, ABSENT)
        ]
    return phrases


def _store() -> Any:
    """Return the client of the coordination service, which knows short texts by name."""
    return distributed.global_state.client


def _wait_for(host: int, name: str, key: str, limit_s: float) -> str:
    try:
        return _store().blocking_key_value_get(f"{key}/{host}", int(1000 * limit_s))
    except jax.errors.JaxRuntimeError as error:
        if "DEADLINE_EXCEEDED" not in str(error):
            raise
        raise TimeoutError(f"{host_name(host)} didn't come to {name!r} within {limit_s:g} s; look at its log") from None
