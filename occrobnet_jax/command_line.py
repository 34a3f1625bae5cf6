"""What the entry points share: the --config flag, and how errors reach the user.

A mistake of the user's is one sentence on standard error and a non-zero exit status; a mistake of the program's is a
traceback. Our own code raises ValueError, OSError or FloatingPointError on purpose only; the same classes out of a
library are the program's mistake.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from occrobnet_jax.parallel import hosts, platforms
from occrobnet_jax.parallel.host_memory import keep_freed_memory
from occrobnet_jax.runs.config import config_names, experiment_from, unknown_name
from occrobnet_jax.runs.experiment import Experiment

REPOSITORY = Path(__file__).parents[1]
SPEAKS_TO_USERS = ("occrobnet_jax", "input_pipeline", "configs", "train.py", "eval.py", "predict.py")
INTERRUPTED = 128 + signal.SIGINT  # the exit status of a program that Ctrl-C has ended
HANDS_ON = "grain"  # raises what a worker process raised, without the worker's traceback


def define_config_flag() -> flags.FlagHolder:
    """Return the flag --config=FILE, with --config.NAME=VALUE to override what the file says."""
    return config_flags.DEFINE_config_file("config", help_string="file of configs/", lock_config=True)


def experiment_of(flag: flags.FlagHolder) -> Experiment:
    """Return the checked record behind the flag of `define_config_flag`.

    Raises:
        ValueError: the flag is missing, names no file, or holds a name or value that does not exist.
    """
    if flag.value is None:
        raise ValueError("--config is missing; name a file, for example --config=configs/synthetic_tiny.py")
    path = Path(config_flags.get_config_filename(flags.FLAGS["config"]).split(":")[0])
    if not path.is_file():
        raise ValueError(f"--config={path} is not a file")
    return experiment_from(flag.value.to_dict())


def define_host_flags() -> dict[str, flags.FlagHolder]:
    """Define the flags for a run of several processes; return them by the environment variable that each goes
    before.
    """
    return {
        hosts.ADDRESS: flags.DEFINE_string(
            "coordinator", None, 'host:port of the first process; "auto": ask the cluster'
        ),
        hosts.COUNT: flags.DEFINE_string("num_processes", None, "how many processes run together"),
        hosts.INDEX: flags.DEFINE_string("process_id", None, "number of this one, from 0"),
    }


def define_platform_flag() -> flags.FlagHolder:
    """Return the flag --platform=cpu, gpu or tpu: on another one the program doesn't start."""
    return flags.DEFINE_enum("platform", None, platforms.NAMES, "start on this platform, or end with a sentence")


def join_hosts(host_flags: dict[str, flags.FlagHolder], experiment: Experiment, *, saves_on_sigterm: bool) -> None:
    """Join the other processes of the run, if flags, environment or cluster say that there are any."""
    given = {name: flag.value for name, flag in host_flags.items() if flag.value is not None}
    hosts.initialize(experiment.hosts, given, saves_on_sigterm=saves_on_sigterm)


def run(main: Callable[[list[str]], int | None]) -> None:
    """Parse the flags, call `main` with what is left of the command line, and exit with the status that it returns."""
    keep_freed_memory()
    try:
        app.run(lambda argv: main(argv[1:]), flags_parser=_parse)
    except KeyboardInterrupt as error:
        print(f"{Path(sys.argv[0]).name}: interrupted", file=sys.stderr)
        hosts.leave(error)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # at once: Python's own end waits for threads, such as one that compiles
    except Exception as error:
        sentence = f"{Path(sys.argv[0]).name}: {error}"
        on_purpose = isinstance(error, ValueError | OSError | FloatingPointError) and _on_purpose(error)
        print(sentence if on_purpose else traceback.format_exc(), file=sys.stderr)
        hosts.leave(error)
        sys.exit(1)


def _parse(argv: list[str]) -> list[str]:
    """Parse as absl does, after a check of the --config.NAMEs, to which ml_collections answers with tracebacks."""
    known = set(config_names(Experiment))
    for argument in argv[1:]:
        name = argument.lstrip("-").split("=")[0].split("[")[0]
        if argument.startswith("-") and name.startswith("config.") and name not in known:
            raise unknown_name(name)
    try:
        remaining: list[str] = flags.FLAGS(argv)
    except flags.Error as error:
        raise ValueError(_reason(error)) from error
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # libraries tell much about themselves
    return remaining


def _reason(error: BaseException) -> str:
    """Return what our own code said of a flag's value, else what absl says; ml_collections makes a traceback of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ValueError | OSError) and not isinstance(cause, flags.Error) and _on_purpose(cause):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return str(error)


def _on_purpose(error: BaseException) -> bool:
    """Return whether our own code raised the error, rather than a library that it called."""
    raised_in = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if raised_in.is_relative_to(REPOSITORY):
        return raised_in.relative_to(REPOSITORY).parts[0] in SPEAKS_TO_USERS
    return HANDS_ON in raised_in.parts
