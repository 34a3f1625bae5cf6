import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from occrobnet_jax.parallel import coordination, hosts
from occrobnet_jax.parallel.hosts import HostsConfig
from occrobnet_jax.parallel.mesh import MeshConfig, make_mesh

CLUSTERS = (
    *("SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_LOCALID"),
    *("TPU_WORKER_HOSTNAMES", "TPU_PROCESS_ADDRESSES", "MEGASCALE_COORDINATOR_ADDRESS", "MEGASCALE_NUM_SLICES"),
)


@pytest.fixture
def environment(monkeypatch):
    for name in (hosts.ADDRESS, hosts.COUNT, hosts.INDEX, *CLUSTERS):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def joined(environment):
    """Arguments that jax.distributed.initialize was called with."""
    calls: list[dict] = []
    environment.setattr(coordination, "introduce", lambda name: [name])
    environment.setattr(jax.distributed, "initialize", lambda **arguments: calls.append(arguments))
    environment.setattr(jax.config, "update", lambda name, value: calls.append({name: value}))
    return calls


def test_without_a_coordinator_this_process_is_alone(environment):
    hosts.initialize(HostsConfig())
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
        hosts.initialize(HostsConfig())


def test_several_processes_are_joined_with_what_the_environment_says_and_flags_before_it(environment, joined):
    for name, value in ((hosts.ADDRESS, "leader:1234"), (hosts.COUNT, "4"), (hosts.INDEX, "3")):
        environment.setenv(name, value)
    hosts.initialize(HostsConfig(heartbeat_s=7), {hosts.INDEX: "2"}, saves_on_sigterm=True)
    assert joined == [
        {"jax_enable_preemption_service": True},
        {
            "coordinator_address": "leader:1234",
            "num_processes": 4,
            "process_id": 2,
            "heartbeat_timeout_seconds": 7,
            "initialization_timeout": hosts.START_LIMIT_S,
        },
    ]


@pytest.mark.parametrize(
    ("variables", "asks_the_cluster"),
    [
        ({"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NTASKS": "2"}, True),
        ({"SLURM_STEP_NODELIST": "n1", "SLURM_NTASKS": "1"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # inside of an allocation, but not started by srun
        ({"TPU_WORKER_HOSTNAMES": "a,b,c,d"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_PROCESS_ADDRESSES": "a:8471,b:8471"}, True),
        ({"MEGASCALE_COORDINATOR_ADDRESS": "a"}, True),
        ({"MEGASCALE_NUM_SLICES": "2", "TPU_WORKER_HOSTNAMES": "a"}, True),
        ({"MEGASCALE_NUM_SLICES": "1", "TPU_WORKER_HOSTNAMES": "a"}, False),
        ({hosts.ADDRESS: hosts.AUTO}, True),
    ],
)
def test_clusters_are_recognized_by_what_they_tell_their_processes(environment, joined, variables, asks_the_cluster):
    for name, value in variables.items():
        environment.setenv(name, value)
    hosts.initialize(HostsConfig())
    assert [set(call) for call in joined[1:]] == [
        {"heartbeat_timeout_seconds", "initialization_timeout"}
    ] * asks_the_cluster
    assert hosts.ADDRESS not in hosts.os.environ


@pytest.mark.parametrize(
    ("tasks", "local_id", "gpus", "visible", "said"),
    [
        ("1(x2)", "0", "8", "0,1,2,3,4,5,6,7", {"local_device_ids": []}),  # one process a node: all of them
        ("1", "0", "", "", {"local_device_ids": []}),
        ("8(x2)", "3", "8", "0,1,2,3,4,5,6,7", {"local_device_ids": [3]}),
        ("2(x2)", "1", "8", "0,1,2,3,4,5,6,7", {"local_device_ids": [4, 5, 6, 7]}),
        ("2(x2)", "1", "8", "4,5,6,7", {"local_device_ids": []}),  # --gpus-per-task: SLURM has divided them
        ("8(x2)", "3", "8", "0", {"local_device_ids": []}),
        ("8", "3", "", "", {}),  # JAX's own: the number of the task
    ],
)
def test_a_task_of_slurm_has_its_share_of_the_nodes_gpus(environment, joined, tasks, local_id, gpus, visible, said):
    for name, value in slurm(tasks, local_id, gpus, visible).items():
        environment.setenv(name, value)
    hosts.initialize(HostsConfig())
    assert {name: value for name, value in joined[1].items() if name == "local_device_ids"} == said


def slurm(tasks: str, local_id: str, gpus: str, visible: str) -> dict[str, str]:
    """What srun says to a task of a job with so many tasks a node."""
    step = {"SLURM_STEP_NODELIST": "n[1-2]", "SLURM_NTASKS": "16", "SLURM_NODEID": "0"}
    return step | {
        "SLURM_STEP_TASKS_PER_NODE": tasks,
        "SLURM_LOCALID": local_id,
        "SLURM_GPUS_ON_NODE": gpus,
        "CUDA_VISIBLE_DEVICES": visible,
    }


def test_gpus_that_tasks_can_not_share_evenly_are_named(environment, joined):
    for name, value in slurm("3", "0", "8", "").items():
        environment.setenv(name, value)
    with pytest.raises(ValueError, match="3 tasks for the 8 GPUs of this node, which can't be shared evenly"):
        hosts.initialize(HostsConfig())


@pytest.mark.parametrize(
    ("error", "waits_s"),
    [
        (ValueError("UNKNOWN: Gloo all-reduce failed: Connection closed by peer"), 25),
        (jax.errors.JaxRuntimeError("UNAVAILABLE: Socket closed"), 25),
        (ValueError("config.seed=-1"), hosts.LEAD_STAYS_S),
        (TimeoutError("host 1 didn't come: connection"), hosts.LEAD_STAYS_S),
    ],
)
def test_after_an_error_a_host_leaves_without_waiting_for_the_others(monkeypatch, error, waits_s):
    done = []
    monkeypatch.setattr(jax.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(hosts, "_heartbeat_s", 20)
    monkeypatch.setattr("occrobnet_jax.parallel.hosts.time.sleep", done.append)
    monkeypatch.setattr("occrobnet_jax.parallel.hosts.os._exit", done.append)
    hosts.leave(error)
    assert done == [waits_s, 1]


def test_a_process_alone_does_not_leave():
    hosts.leave(ValueError())


@pytest.mark.parametrize("wrong", [{"heartbeat_s": 0}, {"watchdog_minutes": -1.0}])
def test_wrong_limits_are_refused(wrong):
    with pytest.raises(ValueError, match=r"hosts.heartbeat_s=.* must be at least 1"):
        HostsConfig(**wrong)


def test_fetch_puts_sharded_arrays_together():
    mesh = make_mesh(MeshConfig(4, 2))
    whole = np.arange(64, dtype=np.float32).reshape(8, 8)
    sharded = jax.device_put(whole, NamedSharding(mesh, PartitionSpec("data", "fsdp")))
    fetched = hosts.fetch({"a": sharded, "b": jnp.float32(3)})
    assert isinstance(fetched["a"], np.ndarray)
    np.testing.assert_array_equal(fetched["a"], whole)
    assert fetched["b"] == 3
