"""Our network and the mirror's with the same weights, on the same batch of synthetic hands."""

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.flops import flops_of
from benchmarks.torch_device import autocast, compute_dtype, placed, torch_device
from benchmarks.torch_mirror.losses import losses
from benchmarks.torch_mirror.occrobnet import OccRobNet as Mirror
from benchmarks.torch_mirror.targets import torch_batch
from benchmarks.torch_mirror.weights import load
from configs import synthetic
from input_pipeline.synthetic.source import SyntheticHands
from input_pipeline.transforms import crop_example
from occrobnet_jax.parallel.compiler import fast_jit
from occrobnet_jax.runs.compilation_cache import use_compilation_cache
from occrobnet_jax.runs.config import experiment_from
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.state import TrainState
from occrobnet_jax.training.metric_window import StepMetrics
from occrobnet_jax.training.setup import Run, build
from occrobnet_jax.types import Batch

Contestants = dict[str, Callable[[], object]]


def paper_experiment(batch_size: int, **model: Any) -> Experiment:
    """Return the paper's network as `configs/synthetic.py` trains it, with detected keypoints from the first step
    on.
    """
    experiment = experiment_from(synthetic.get_config().to_dict())
    return dataclasses.replace(
        experiment,
        global_batch_size=batch_size,
        compute_dtype=compute_dtype(),
        teacher_forced_steps=0,
        model=dataclasses.replace(experiment.model, **model),
        optimizer=dataclasses.replace(experiment.optimizer, average_decay=0.0, clip_norm=0.0),
    )


@functools.cache
def synthetic_rows(count: int) -> list[dict[str, np.ndarray]]:
    """Return the cropped synthetic examples, all four kinds in turn."""
    source, data = SyntheticHands(), experiment_from(synthetic.get_config().to_dict()).data
    return [crop_example(source.example("train", i), data, 2) for i in range(count)]


def synthetic_batch(batch_size: int) -> Batch:
    """Return a batch of them on the device."""
    rows = synthetic_rows(min(batch_size, 8))
    rows = [rows[i % len(rows)] for i in range(batch_size)]
    return Batch(**{name: jnp.asarray(np.stack([row[name] for row in rows])) for name in rows[0] if name != "key"})


def prepared(experiment: Experiment) -> tuple[Run, TrainState]:
    """Return a run's parts, with a compilation cache, and the state that it begins with."""
    use_compilation_cache(experiment.compilation_cache_dir)
    run = build(experiment)
    return run, run.create_state()


def forward_of(run: Run) -> Any:
    """Return the network from variables and images to raw predictions, compiled as in a run."""
    return compiled(lambda variables, image: run.model.apply(variables, image, train=False))


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function jitted with the options that every program of ours has which runs often."""
    return fast_jit(function, jax.default_backend())


def mirror_of(experiment: Experiment, variables: dict[str, Any]) -> Mirror:
    """Return the mirror with the same weights, where ours are."""
    mirror = Mirror(experiment.model, experiment.data.input_size_px)
    load(mirror, jax.device_get(variables))
    return placed(mirror)


class OurStep:
    """Our training step; each call takes the state that the last one returned, and a batch from the host."""

    def __init__(self, run: Run, state: TrainState, batch: Batch):
        self.run, self.carried, self.batch = run, run.carrier.carried(state), jax.device_get(batch)
        self.metrics: StepMetrics | None = None

    def __call__(self) -> None:
        """Take one step and wait for it."""
        self.carried, self.metrics = self.run.train_step(self.carried, self.batch)
        jax.block_until_ready((self.carried, self.metrics))


class MirrorStep:
    """The mirror's training step: forward, losses, backward, AdamW with both learning rates, fused."""

    def __init__(self, experiment: Experiment, mirror: Mirror, batch: Batch, *, compiled: bool):
        self.mirror, self.batch = mirror.train(), torch_batch(batch, torch_device())
        self.metrics: dict[str, float] = {}

        def loss_terms(image: torch.Tensor) -> dict[str, torch.Tensor]:
            with autocast(experiment.compute_dtype):
                outputs = self.mirror(image)
            exact = {name: made.float() if made.is_floating_point() else made for name, made in outputs.items()}
            return losses(exact, self.batch, experiment.model, experiment.loss)

        self.loss_terms = torch.compile(loss_terms) if compiled else loss_terms
        config, in_backbone = experiment.optimizer, ("backbone.", "neck.unet.")
        groups: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in mirror.named_parameters():
            rate = config.backbone_learning_rate if name.startswith(in_backbone) else config.learning_rate
            groups.setdefault(rate, []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in groups.items()],
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )

    def __call__(self) -> None:
        """Take one step; reading the loss is waiting for it. Gradients go at its end: they would lie in our side's
        way.
        """
        terms = self.loss_terms(self.batch.image)
        loss = sum(terms.values())
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.metrics = {"loss": loss.item()}


def step_contestants(experiment: Experiment) -> tuple[Contestants, float | None]:
    """Return our training step and the mirror's, and the FLOPs of ours.

    Raises:
        AssertionError: their first losses differ, so that they would not be doing the same.
    """
    run, state = prepared(experiment)
    batch = synthetic_batch(experiment.global_batch_size)
    mirror = mirror_of(experiment, state.variables)
    flops = flops_of(run.train_step, run.carrier.carried(state), jax.device_get(batch))
    eager = MirrorStep(experiment, mirror, batch, compiled=False)
    compiled = MirrorStep(experiment, copy.deepcopy(mirror), batch, compiled=True)
    return {"ours": OurStep(run, state, batch), "PyTorch eager": eager, "torch.compile": compiled}, flops
