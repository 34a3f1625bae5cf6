"""Traces of some steps of a run, which `xprof WORKDIR/profile/host_0` and https://ui.perfetto.dev show."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from occrobnet_jax.training.carried_state import CarriedStep

MOST_STEPS = 100  # traces grow by megabytes a step


def steps_to_profile(text: str, last_step: int) -> range:
    """Return the steps that --profile_steps=FIRST:LAST means, both included; none where it is empty.

    Raises:
        ValueError: it isn't two step numbers in order, it goes beyond `last_step`, or it is too many steps.
    """
    if not text:
        return range(0)
    match = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= first <= last <= last_step or last - first >= MOST_STEPS:
        raise ValueError(
            f"--profile_steps={text} must be FIRST:LAST, steps from 1 to the run's last, which is {last_step}, and "
            f"{MOST_STEPS} of them at most; for example --profile_steps=10:14"
        )
    return range(first, last + 1)


@contextlib.contextmanager
def profiled(train_step: CarriedStep, steps: range, start_step: int, folder: Path) -> Iterator[CarriedStep]:
    """Yield `train_step`, of whose calls those that take `steps` are traced into `folder`.

    A trace ends when its last step is finished, or with the context. A run that goes on within `steps` traces the rest.

    Args:
        train_step: the compiled step.
        steps: consecutive steps, counted from 1.
        start_step: what the run goes on from; the first call takes the one after it.
        folder: this host's own.
    """
    step, open_traces = start_step, contextlib.ExitStack()

    def traced(state: Any, batch: Any) -> Any:
        nonlocal step
        step += 1
        if step in steps and step - 1 in (start_step, steps.start - 1):
            open_traces.enter_context(jax.profiler.trace(str(folder)))
        results = train_step(state, batch)
        if step in steps and step + 1 not in steps:
            jax.block_until_ready(results)
            open_traces.close()
        return results

    with open_traces:
        yield traced if steps else train_step
