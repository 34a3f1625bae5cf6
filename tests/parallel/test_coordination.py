import json
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from occrobnet_jax.parallel import coordination
from tests.support.limits import HANG_S


class Store:
    """The coordination service's store, for hosts that are threads of one process."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.absent: set[int] = set()
        self.changed = threading.Condition()

    def key_value_set(self, key: str, value: str) -> None:
        with self.changed:
            assert key not in self.values, "a key is written once"
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key: str, timeout_in_ms: int) -> str:
        with self.changed:
            is_absent = int(key.rpartition("/")[-1]) in self.absent
            limit_s = timeout_in_ms / 1000 if is_absent else HANG_S  # the others' threads may be slow to start
            if not self.changed.wait_for(lambda: key in self.values, limit_s):
                raise jax.errors.JaxRuntimeError(f"DEADLINE_EXCEEDED: GetKeyValue() timed out with key: {key}")
            return self.values[key]


class Hosts(threading.local):
    """Each thread is a host: what it sees of `distributed.global_state`, and its count of calls."""

    def __init__(self, store: Store) -> None:
        self.global_state = types.SimpleNamespace(num_processes=1, process_id=0, client=store)
        self.calls = -1

    def __next__(self) -> int:
        self.calls += 1
        return self.calls


@pytest.fixture
def as_hosts(monkeypatch):
    """Calls a function once for each host, as that host, all at the same time; what they return or raise."""
    here = Hosts(Store())
    monkeypatch.setattr(coordination, "_names", {})
    monkeypatch.setattr(coordination, "_calls", here)
    monkeypatch.setattr(coordination, "distributed", here)

    def run(function, count, hosts=None):
        here.global_state.client.absent = set(range(count)) - set(hosts or range(count))
        together = threading.Barrier(len(hosts or range(count)))  # so that no thread is two hosts

        def one(host):
            together.wait()
            here.global_state.num_processes, here.global_state.process_id = count, host
            try:
                return function(host)
            except Exception as error:
                return error

        with ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, hosts or range(count)))

    return run


def test_everybody_gets_everybodys_value_in_order(as_hosts):
    assert as_hosts(lambda host: coordination.exchange("x", f"v{host}"), 3) == [["v0", "v1", "v2"]] * 3


def test_one_name_can_be_used_again(as_hosts):
    assert (
        as_hosts(lambda host: [coordination.exchange("x", f"{host}{turn}") for turn in (0, 1)], 2)
        == [[["00", "10"], ["01", "11"]]] * 2
    )


def test_what_the_lead_found_is_what_all_go_by(as_hosts):
    assert (
        as_hosts(lambda host: coordination.from_lead("step", {"step": 7} if host == 0 else None), 3)
        == [{"step": 7}] * 3
    )


def test_who_does_not_come_is_named_with_the_barrier_and_the_limit(as_hosts):
    errors = as_hosts(lambda host: coordination.exchange("start", "", limit_s=0.05), 3, hosts=[0, 2])
    assert [str(error) for error in errors] == ["host 1 didn't come to 'start' within 0.05 s; look at its log"] * 2
    assert all(isinstance(error, TimeoutError) for error in errors)


def test_differences_are_named_with_hosts_and_both_values(as_hosts):
    facts = [{"config.seed": 1, "jax": "0.10"}, {"config.seed": 1, "jax": "0.10"}, {"config.seed": 2, "extra": None}]

    def check(host):
        coordination.introduce(f"node{host}")
        coordination.check_same("config and code", facts[host])

    errors = as_hosts(check, 3)
    assert len({str(error) for error in errors}) == 1
    assert str(errors[0]).splitlines() == [
        "the hosts don't have the same config and code; start them alike:",
        "  config.seed: host 0 (node0) has 1, host 2 (node2) has 2",
        "  extra: host 0 (node0) has 'none', host 2 (node2) has None",
        "  jax: host 0 (node0) has '0.10', host 2 (node2) has 'none'",
    ]


def test_the_same_facts_pass(as_hosts):
    assert as_hosts(lambda host: coordination.check_same("facts", {"a": [1, 2]}), 2) == [None, None]


def test_a_process_alone_waits_for_nobody():
    assert coordination.exchange("x", "v") == ["v"]
    assert coordination.from_lead("x", [1]) == [1]
    coordination.check_same("x", json.loads("{}"))
