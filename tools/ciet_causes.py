"""Does a trained network use what CIET gives it? Tests without training, of a checkpoint:

    python -m tools.ciet_causes --config=configs/workdir.py:DIR --workdir=DIR [--split=test] [--step=N]

Its gates are set to one, to the mean of each head, or exchanged between images. What the errors gain by that, the gates
had given, image by image. Then: how much of the attention of a hidden joint's cell goes to visible cells of its own
hand, beside the share of the picture that those are, which is what attention to anywhere would give.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from flax import linen as nn
from jaxtyping import Array, Float

from input_pipeline.pipeline import eval_batches, split_size
from occrobnet_jax import command_line
from occrobnet_jax.evaluation.evaluate import make_predict, make_setting
from occrobnet_jax.evaluation.metrics.groups import HIDDEN
from occrobnet_jax.evaluation.metrics.measures import Measures, Score, Tally, pooled
from occrobnet_jax.evaluation.metrics.metrics import own_measures
from occrobnet_jax.evaluation.metrics.paired import differences
from occrobnet_jax.files.paths import path_of
from occrobnet_jax.models.ciet import InjectionBlock
from occrobnet_jax.models.ops.attention import scaled_products
from occrobnet_jax.parallel.mesh import make_mesh
from occrobnet_jax.progress import progress
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.restore import restore_variables
from occrobnet_jax.runs.state import Variables
from occrobnet_jax.skeleton import NUM_HANDS, VISIBILITY
from tools.ablate import NUMBERS

OPEN_LOGIT = 40.0  # of which the sigmoid is 1 in float32
Change = Callable[[Float[Array, "b heads n k"]], Float[Array, "b heads n k"]]
"""What is made of the logits of the gates of a batch."""


def opened(logits: Float[Array, "b heads n k"]) -> Float[Array, "b heads n k"]:
    """Return logits of gates that are one."""
    return jnp.full_like(logits, OPEN_LOGIT)


def averaged(logits: Float[Array, "b heads n k"]) -> Float[Array, "b heads n k"]:
    """Return logits of gates that are what each head's are in the mean, over images and positions."""
    mean = nn.sigmoid(logits).mean(axis=(0, 2), keepdims=True)
    return jnp.broadcast_to(jnp.log(mean) - jnp.log1p(-mean), logits.shape)


def exchanged(logits: Float[Array, "b heads n k"]) -> Float[Array, "b heads n k"]:
    """Return the gates of another image, half a batch away: neighbors may be arms of one scene."""
    return jnp.roll(logits, len(logits) // 2, axis=0)


CHANGES: dict[str, Change] = {"gates one": opened, "gates mean": averaged, "gates of others": exchanged}


def changed_gates(change: Change) -> contextlib.AbstractContextManager[None]:
    """Within the block a network that is traced has other gates."""

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        is_gate = isinstance(context.module, InjectionBlock) and context.method_name == "_gate_logits"
        return change(call(*args, **kwargs)) if is_gate else call(*args, **kwargs)

    return nn.intercept_methods(intercept)


def tallies(experiment: Experiment, variables: Variables, split: str) -> dict[str, Tally]:
    """Return the sums of the split's measures, with the gates as they were learned and with each change.

    Raises:
        ValueError: the network has no gates, or a batch has one image, or the split can't be read.
    """
    if experiment.model.ciet != "dual":
        raise ValueError(f"model.ciet={experiment.model.ciet!r} has no gates; only 'dual' has")
    if experiment.global_batch_size < 2:
        raise ValueError("gates are exchanged between the images of a batch: set global_batch_size=2 or more")
    model, mesh, setting = make_model(experiment), make_mesh(experiment.mesh), make_setting(experiment, split)
    found = {}
    for name, change in {"learned": None, **CHANGES}.items():
        predict, tally = make_predict(experiment, model, mesh, split), Tally()
        with changed_gates(change) if change else contextlib.nullcontext():
            for records in predict(variables):
                measures = own_measures(records, setting())
                tally.add(((name, each) for name, each in measures if name in NUMBERS), records.get("sequence"))
        found[name] = tally
    return found


def kept_weights(model: nn.Module, variables: Variables, image: Array) -> Float[Array, "blocks b n n"]:
    """Return the softmax weights of each block of CIET, averaged over heads: of every query, over all keys."""

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        if isinstance(context.module, InjectionBlock) and context.method_name == "_attend":
            weights = jax.nn.softmax(scaled_products(*args[:2])).mean(axis=1)
            context.module.sow("intermediates", "weights", weights)
        return call(*args, **kwargs)

    with nn.intercept_methods(intercept):
        _, kept = model.apply(variables, image, train=False, mutable=["intermediates"])
    return jnp.stack(jax.tree.leaves(kept))


def attention_scores(experiment: Experiment, variables: Variables, split: str) -> dict[str, Score]:
    """Return how much attention joints pay to visible cells of their own hand, see `attention_measures`.

    Raises:
        ValueError: CIET has no softmax over a map, or the split can't be read.
    """
    config, data = experiment.model, experiment.data
    if config.ciet not in ("dual", "softmax") or config.ciet_on != "map":
        raise ValueError(f"model.ciet={config.ciet!r} on {config.ciet_on} has no softmax over the cells of a map")
    look, tally = jax.jit(functools.partial(kept_weights, make_model(experiment))), Tally()
    size, stride = experiment.global_batch_size, config.heatmap_stride
    batches = eval_batches(data, split, heatmap_stride=stride, global_batch_size=size)
    for fields in progress(batches, "attention", math.ceil(split_size(data, split) / size)):
        weights = np.asarray(look(variables, fields["image"]), np.float64).mean(axis=0)[fields["is_real"]]
        real = {name: values[fields["is_real"]] for name, values in fields.items()}
        tally.add(attention_measures(weights, real, config.ciet_stride, stride), real["sequence"])
    return tally.scores()


def attention_measures(
    weights: Float[np.ndarray, "b n n"], fields: dict[str, np.ndarray], ciet_stride: int, heatmap_stride: int
) -> Measures:
    """Yield the weight that a joint's cell gives to visible cells of its own hand, and the share of cells that they
    are.

    `attention/hidden` and `attention/visible` are of joints that something hides and that nothing hides, inside the
    crop; `.../chance` is that share.
    """
    cells = _cells(fields["segmentation"], ciet_stride // heatmap_stride)
    side = math.isqrt(weights.shape[-1])
    places = np.clip(np.floor((fields["joints_px"] + 0.5) / ciet_stride), 0, side - 1).astype(int)
    rows = places[..., 1] * side + places[..., 0]
    own = np.stack([cells == hand + 1 for hand in range(NUM_HANDS)], axis=1).astype(np.float64)
    paid = np.stack([np.einsum("bqk,bk->bq", weights, own[:, hand]) for hand in range(NUM_HANDS)], axis=1)
    paid = np.take_along_axis(paid, rows, axis=-1)
    chance = np.broadcast_to(own.mean(-1, keepdims=True), paid.shape)
    counts = fields["joint_in_crop"] & fields["segmentation_known"][:, None, None] & (chance > 0)
    visibility = fields["visibility"]
    for name, is_so in (
        ("hidden", np.isin(visibility, HIDDEN)),
        ("visible", visibility == VISIBILITY.index("visible")),
    ):
        yield f"attention/{name}", pooled(paid, counts & is_so)
        yield f"attention/{name}/chance", pooled(chance, counts & is_so)


def _cells(segmentation: np.ndarray, step: int) -> np.ndarray:
    """Return what the middle of each of CIET's cells shows, row after row."""
    return segmentation[:, step // 2 :: step, step // 2 :: step].reshape(len(segmentation), -1)


def lines_of(found: dict[str, Tally]) -> Iterator[str]:
    """Yield a block for each number: its value with the learned gates, and what each change makes of it."""
    scores = {name: tally.scores(seed=None) for name, tally in found.items()}
    changes = {name: differences([(found["learned"], tally)]) for name, tally in found.items() if name != "learned"}
    for number in NUMBERS:
        if number in scores["learned"]:
            yield f"{number}\n  {'learned':18s}{scores['learned'][number].value:10.3f}"
            for name, difference in ((name, each[number]) for name, each in changes.items()):
                ends = "" if difference.low is None else f"[{difference.low:+.3f}, {difference.high:+.3f}]"
                yield f"  {name:18s}{difference.value:+10.3f}  {ends}  {difference.in_words}"


def main(arguments: list[str]) -> None:
    """Print what the flags ask for."""
    if arguments:
        raise ValueError(f"ciet_causes takes flags only, not {arguments[0]!r}")
    experiment = command_line.experiment_of(CONFIG)
    split, mesh = SPLIT.value or experiment.data.eval_split, make_mesh(experiment.mesh)
    workdir, size_px = path_of(WORKDIR.value), experiment.data.input_size_px
    variables, step = restore_variables(make_model(experiment), size_px, workdir, STEP.value, mesh)
    print(f"step {step}, {split}; changes of the gates minus the learned ones, paired by example and scene")
    print("\n".join(lines_of(tallies(experiment, variables, split))))
    for name, score in attention_scores(experiment, variables, split).items():
        print(f"{name:28s}{score.value:8.4f}  [{score.low}, {score.high}]  of {score.num_values:,} joints")


if __name__ == "__main__":
    CONFIG = command_line.define_config_flag()
    WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run", required=True)
    SPLIT = flags.DEFINE_string("split", None, "split to look at; config.data.eval_split by default")
    STEP = flags.DEFINE_integer("step", None, "checkpoint of this step instead of the newest", lower_bound=0)
    command_line.run(main)
