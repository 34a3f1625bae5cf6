import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from occrobnet_jax.parallel import hosts
from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh


@pytest.fixture
def environment(monkeypatch):
    for name in (hosts.ADDRESS, hosts.COUNT, hosts.INDEX):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_a_coordinator_this_process_is_alone(environment):
    hosts.initialise()
    assert (hosts.host_index(), hosts.num_hosts(), hosts.is_lead()) == (0, 1, True)


@pytest.mark.parametrize(
    "variables",
    [
        {hosts.ADDRESS: "localhost:1234"},
        {hosts.COUNT: "2", hosts.INDEX: "0"},
        {hosts.ADDRESS: "localhost:1234", hosts.COUNT: "two", hosts.INDEX: "0"},
    ],
)
def test_half_an_address_is_refused(environment, variables):
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(ValueError, match=f"needs {hosts.ADDRESS}"):
        hosts.initialise()


def test_several_processes_are_joined_with_what_the_environment_says(environment):
    calls = []
    environment.setattr(jax.distributed, "initialize", lambda *arguments: calls.append(arguments))
    for name, value in ((hosts.ADDRESS, "leader:1234"), (hosts.COUNT, "4"), (hosts.INDEX, "3")):
        environment.setenv(name, value)
    hosts.initialise()
    assert calls == [("leader:1234", 4, 3)]


def test_fetch_puts_sharded_arrays_together():
    mesh = make_mesh(MeshConfig(4, 2))
    whole = np.arange(64, dtype=np.float32).reshape(8, 8)
    sharded = jax.device_put(whole, NamedSharding(mesh, PartitionSpec("data", "fsdp")))
    fetched = hosts.fetch({"a": sharded, "b": jnp.float32(3)})
    assert isinstance(fetched["a"], np.ndarray)
    np.testing.assert_array_equal(fetched["a"], whole)
    assert fetched["b"] == 3
