"""The files of launch/, with stand-ins for the clusters' commands: none of those clusters is at hand."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from occrobnet_jax.parallel import hosts
from occrobnet_jax.runs.config import config_names
from occrobnet_jax.runs.experiment import Experiment
from tests.support.limits import HANG_S

REPOSITORY = Path(__file__).parents[2]
LAUNCH = REPOSITORY / "launch"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the scripts are for Linux")

SRUN = """\
trap 'touch killed; exit 137' TERM  # what the real one makes of it
echo "$*" >srun_arguments
touch started
while [[ ! -e asked ]]; do sleep 0.02; done
[[ -z $SAVES ]] || mkdir -p run/checkpoints/$SAVES
exit $STATUS
"""
NEWEST = """\
[[ $2 == occrobnet_jax.runs.checkpoint_folders && $3 == run && ! -e lost ]] || exit 1
find run/checkpoints -name '[0-9]*' ! -name '*[!0-9]*' -printf '%f\\n' | sort -n | tail -n 1
"""
SCANCEL = '[[ $* != "--signal=TERM 42" ]] || touch asked'
SCONTROL = '[[ $1 == show ]] && echo "   PreemptTime=$PREEMPT_TIME" || echo "$*" >requeued'
ASKED = 128 + signal.SIGTERM
GCLOUD = """\
echo "$*" >gcloud_arguments
for argument; do
    case $argument in --command=*) exec bash -c "${argument#*=}" ;; esac
done
"""


def stand_in(path: Path, code: str) -> None:
    """A command that does what the code says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{code}\n")
    path.chmod(0o755)


@contextlib.contextmanager
def started(script: str, *arguments: str, folder: Path, **variables: str) -> Iterator[subprocess.Popen]:
    """A script that runs in a folder, whose `bin` goes before the system's; nothing of it outlives the block."""
    environment = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"} | variables
    command = ["bash", str(LAUNCH / script), *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(path: Path, limit_s: float = HANG_S) -> None:
    end_s = time.monotonic() + limit_s
    while not path.exists():
        assert time.monotonic() < end_s, f"{path.name} didn't come"
        time.sleep(0.02)


@contextlib.contextmanager
def slurm_job(
    folder: Path, *arguments: str, saves: str = "", status: int = 0, preempted: bool = False, **variables: str
) -> Iterator[subprocess.Popen]:
    """The batch script, with an srun that ends when `asked` is there: it leaves a checkpoint, and this status."""
    for name, code in (("srun", SRUN), ("scancel", SCANCEL), ("scontrol", SCONTROL)):
        stand_in(folder / "bin" / name, code)
    stand_in(folder / ".venv/bin/python", NEWEST)
    (folder / "run/checkpoints/9").mkdir(parents=True)
    (folder / "run/checkpoints/11.damaged").mkdir()
    variables |= {"SLURM_SUBMIT_DIR": str(folder), "SLURM_JOB_ID": "42", "SLURM_CPUS_ON_NODE": "24"}
    variables |= {"SAVES": saves, "STATUS": str(status), "PREEMPT_TIME": "2026-11-30T06:49:30" if preempted else "None"}
    with started("slurm.sbatch", *arguments, "--workdir=run", folder=folder, **variables) as process:
        yield process


def test_slurm_s_time_limit_lets_the_tasks_save_and_requeues(tmp_path):
    with slurm_job(tmp_path, "--config=c.py", saves="10", status=ASKED) as job:
        wait_for(tmp_path / "started")
        job.send_signal(signal.SIGUSR1)
        said, _ = job.communicate(timeout=HANG_S)
    assert job.returncode == ASKED
    assert f"srun ended with status {ASKED}; newest checkpoint: 9 before, 10 after" in said
    assert (tmp_path / "requeued").read_text() == "requeue 42\n"
    assert not (tmp_path / "killed").exists()
    arguments = (tmp_path / "srun_arguments").read_text()
    assert f"supervise --restarts=3 --asked_status={ASKED} train.py --config=c.py --workdir=run" in arguments


def test_slurm_does_not_requeue_at_the_time_limit_what_made_no_progress(tmp_path):
    with slurm_job(tmp_path, status=ASKED) as job:
        wait_for(tmp_path / "started")
        job.send_signal(signal.SIGUSR1)
        job.communicate(timeout=HANG_S)
    assert not (tmp_path / "requeued").exists()


def test_slurm_takes_a_bucket_that_is_lost_for_no_progress(tmp_path):
    with slurm_job(tmp_path, saves="10", status=75) as job:
        wait_for(tmp_path / "started")
        (tmp_path / "lost").touch()
        (tmp_path / "asked").touch()
        said, _ = job.communicate(timeout=HANG_S)
    assert "newest checkpoint: 9 before, 9 after" in said
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize("saves", ["10", ""])
@pytest.mark.parametrize("preempted", [True, False])  # scancel --signal=TERM looks the same to the tasks
def test_slurm_requeues_a_preempted_job_in_any_case(tmp_path, preempted, saves):
    with slurm_job(tmp_path, saves=saves, status=ASKED, preempted=preempted) as job:
        (tmp_path / "asked").touch()
        job.communicate(timeout=HANG_S)
    assert (tmp_path / "requeued").exists() == preempted


@pytest.mark.parametrize(("gpus", "tasks", "cores"), [("4", 4, 6), ("1", 1, 24), ("", 1, 24)])
def test_slurm_starts_a_task_a_gpu(tmp_path, gpus, tasks, cores):
    with slurm_job(tmp_path, SLURM_GPUS_ON_NODE=gpus, SLURM_CPUS_PER_GPU="6") as job:
        (tmp_path / "asked").touch()
        job.communicate(timeout=HANG_S)
    assert f"--ntasks-per-node={tasks} --cpus-per-task={cores} " in (tmp_path / "srun_arguments").read_text()


@pytest.mark.parametrize("status", [75, 69, 128 + signal.SIGKILL, 128 + signal.SIGABRT])
@pytest.mark.parametrize("saves", ["10", ""])
def test_slurm_requeues_after_a_lost_host_what_made_progress(tmp_path, saves, status):
    with slurm_job(tmp_path, saves=saves, status=status) as job:
        (tmp_path / "asked").touch()
        job.communicate(timeout=HANG_S)
    assert job.returncode == status
    assert (tmp_path / "requeued").exists() == bool(saves)


@pytest.mark.parametrize("status", [0, 1])
def test_slurm_does_not_requeue_a_finished_run_or_an_error(tmp_path, status):
    with slurm_job(tmp_path, saves="10", status=status) as job:
        (tmp_path / "asked").touch()
        job.communicate(timeout=HANG_S)
    assert job.returncode == status
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize("status", [0, ASKED, 128 + signal.SIGKILL])  # SLURM kills what takes too long
def test_slurm_s_scancel_is_waited_for_and_not_answered_with_a_requeue(tmp_path, status):
    with slurm_job(tmp_path, saves="10", status=status, preempted=True) as job:
        wait_for(tmp_path / "started")
        job.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert job.poll() is None
        (tmp_path / "asked").touch()  # SLURM sends the same to the tasks
        job.communicate(timeout=HANG_S)
    assert job.returncode == status
    assert not (tmp_path / "requeued").exists()


def test_slurm_runs_another_program_too(tmp_path):
    with slurm_job(tmp_path, "eval.py", "--split=test") as job:
        (tmp_path / "asked").touch()
        job.communicate(timeout=HANG_S)
    assert f"--asked_status={ASKED} eval.py --split=test" in (tmp_path / "srun_arguments").read_text()


SAVING_HOST = """\
trap 'sleep 0.3; touch saved$JAX_PROCESS_ID; exit 0' TERM
touch started$JAX_PROCESS_ID
while true; do sleep 0.02; done
"""


def test_local_waits_for_all_hosts_after_a_signal_and_ends_with_their_status(tmp_path):
    stand_in(tmp_path / "bin/host", SAVING_HOST)
    with started("local.sh", "2", "train.py", folder=tmp_path, PYTHON="host") as process:
        for host in range(2):
            wait_for(tmp_path / f"started{host}")
        process.terminate()
        status = process.wait(HANG_S)
        saved = {path.name for path in tmp_path.glob("saved*")}
    assert (status, saved) == (0, {"saved0", "saved1"})


def test_local_ends_with_the_status_of_the_host_that_failed(tmp_path):
    stand_in(tmp_path / "bin/host", "exit $((3 * JAX_PROCESS_ID))")
    with started("local.sh", "2", "train.py", folder=tmp_path, PYTHON="host") as process:
        assert process.wait(HANG_S) == 3


@contextlib.contextmanager
def tpu_run(folder: Path, *arguments: str, code: str) -> Iterator[subprocess.Popen]:
    """The script for TPU VMs on one host, whose Python does what the code says."""
    stand_in(folder / "bin/gcloud", GCLOUD)
    stand_in(folder / "bin/hostname", "echo host0")
    stand_in(folder / "here/.venv/bin/python", code)
    with started("tpu_vm.sh", *arguments, folder=folder, TPU="t", ZONE="z", FOLDER="here") as process:
        yield process


def test_a_tpu_run_is_shown_and_ends_with_its_status(tmp_path):
    log = tmp_path / "here/runs/hosts/host0.log"
    log.parent.mkdir(parents=True)
    log.write_text("an earlier run\n")
    with tpu_run(tmp_path, "eval.py", "--x=a b", code='echo "ran $4 $5 $6"; echo error >&2; exit 3') as process:
        said, _ = process.communicate(timeout=HANG_S)
    assert process.returncode == 3
    assert said == "ran eval.py --coordinator=auto --x=a b\nerror\n"
    assert log.read_text() == f"an earlier run\n{said}"
    assert "--worker=all" in (tmp_path / "gcloud_arguments").read_text()


def test_a_tpu_run_goes_on_without_the_connection(tmp_path):
    code = 'echo "$4"; while [[ ! -e go ]]; do sleep 0.02; done; echo finished; touch finished'
    with tpu_run(tmp_path, code=code) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "train.py\n"
        os.killpg(process.pid, signal.SIGKILL)  # a hangup may be ignored here, as under nohup
        process.wait(HANG_S)
    (tmp_path / "here/go").touch()
    wait_for(tmp_path / "here/finished")
    assert (tmp_path / "here/runs/hosts/host0.log").read_text() == "train.py\nfinished\n"


JOBSETS = [("jobset_tpu.yaml", "google.com/tpu"), ("jobset_gpu.yaml", "nvidia.com/gpu")]


def job_of(jobset: dict) -> dict:
    """The spec of a JobSet's only job."""
    (replicated,) = jobset["spec"]["replicatedJobs"]
    return replicated["template"]["spec"]


@pytest.mark.parametrize(("file", "resource"), JOBSETS)
def test_a_jobset_counts_no_restart_where_supervise_was_asked_to_end(file, resource):
    jobset = yaml.safe_load((LAUNCH / file).read_text())
    job = job_of(jobset)
    (container,) = job["template"]["spec"]["containers"]
    asked = [flag.split("=")[1] for flag in container["command"] if flag.startswith("--asked_status=")]
    on_exit, on_condition = job["podFailurePolicy"]["rules"]
    assert (on_exit["action"], on_exit["onExitCodes"]["containerName"]) == ("FailJob", container["name"])
    assert on_exit["onExitCodes"]["values"] == [int(asked[0])] == [ASKED]
    assert on_condition["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert job["template"]["spec"]["restartPolicy"] == "Never"  # a podFailurePolicy needs it
    assert jobset["spec"]["failurePolicy"]["rules"] == [
        {"action": "RestartJobSetAndIgnoreMaxRestarts", "onJobFailureReasons": ["PodFailurePolicy"]}
    ]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert list(container["resources"]["limits"]) == [resource]


@pytest.mark.parametrize(("file", "resource"), JOBSETS)
def test_a_jobset_has_shared_memory_and_a_cache_for_all_hosts(file, resource):
    pod = job_of(yaml.safe_load((LAUNCH / file).read_text()))["template"]["spec"]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounts["/dev/shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    assert "persistentVolumeClaim" in mounts["/shared"]
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in container["command"] if "=" in flag)
    for name in ("workdir", "config.data.data_dir", "config.compilation_cache_dir"):
        assert flags[name].startswith("/shared/")


def test_pods_with_gpus_say_who_they_are():
    job = job_of(yaml.safe_load((LAUNCH / "jobset_gpu.yaml").read_text()))
    (container,) = job["template"]["spec"]["containers"]
    environment = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert environment[hosts.COUNT] == str(job["parallelism"]) == str(job["completions"])
    port = environment[hosts.ADDRESS].rpartition(":")[2]
    assert int(port) == container["ports"][0]["containerPort"]
    assert {hosts.INDEX, "JOBSET_NAME"} <= set(environment)


def commands() -> list[str]:
    """The command lines of all launch files with the flags that the programs are to take."""
    found = [(LAUNCH / "skypilot.yaml").read_text(), (LAUNCH / "slurm.sbatch").read_text()]
    found += [(LAUNCH / file).read_text() for file, _ in JOBSETS] + [(REPOSITORY / "docs/launch.md").read_text()]
    return found


def test_launch_files_give_flags_that_exist_and_files_that_are_there():
    text = "\n".join(commands())
    assert set(re.findall(r"--(config\.[\w.]+)=", text)) <= set(config_names(Experiment))
    for config in re.findall(r"--config=(configs/[\w.]+)", text):
        assert (REPOSITORY / config.rstrip(".")).is_file(), config
    supervises = (REPOSITORY / "occrobnet_jax/parallel/supervise.py").read_text()
    for flag in ("--restarts", "--asked_status"):
        assert flag in text
        assert f'"{flag}"' in supervises
    for file in re.findall(r"(?<![\w/.])launch/[\w.]*\w", text):
        assert (REPOSITORY / file).is_file(), file


def test_skypilot_starts_a_process_a_node():
    task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
    assert "requirements/cuda13.txt" in task["setup"]
    done = subprocess.run(
        ["bash", "-c", task["run"].replace("exec .venv/bin/python", "env; echo")],
        env={"PATH": os.environ["PATH"], "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2", "SKYPILOT_NUM_NODES": "2"}
        | {"SKYPILOT_NODE_RANK": "1", "WANDB_API_KEY": "key"}
        | {name: value or "" for name, value in task["envs"].items()},
        capture_output=True,
        text=True,
        check=True,
    )
    for line in (f"{hosts.ADDRESS}=10.0.0.1:8476", f"{hosts.COUNT}=2", f"{hosts.INDEX}=1"):
        assert line in done.stdout.splitlines()
    assert "supervise --restarts=3 train.py --platform=gpu --config=configs/interhand26m.py" in done.stdout


UV = """\
echo "$*" >>~/uv_arguments
if [[ $1 == venv ]]; then
    mkdir -p .venv/bin
    printf 'echo 16 TPU' >.venv/bin/python
    chmod +x .venv/bin/python
fi
"""
COPIES = """\
case $4 in
scp) cp "$5" "$HOME/${6#*:}" ;;
ssh) for argument; do case $argument in --command=*) cd && bash -c "${argument#*=}" ;; esac; done ;;
esac
"""


def test_a_tpu_vm_gets_the_newest_commit_and_its_locked_environment(tmp_path):
    stand_in(tmp_path / "bin/gcloud", COPIES)
    stand_in(tmp_path / "bin/uv", UV)
    for _ in range(2):
        with started("tpu_vm_setup.sh", folder=tmp_path, TPU="t", ZONE="z", HOME=str(tmp_path)) as process:
            said, _ = process.communicate(timeout=HANG_S)
        assert (process.returncode, said) == (0, "16 TPU\n")
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=REPOSITORY)
    assert subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=tmp_path / "occrobnet-jax") == head
    made, *installed = (tmp_path / "uv_arguments").read_text().splitlines()
    assert made.startswith("venv")
    assert (
        installed == ["pip install --quiet --python .venv/bin/python -r requirements.txt -r requirements/tpu.txt"] * 2
    )
