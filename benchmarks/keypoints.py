"""Exact selection of 50 joints and 50 object points, batch 32, over the whole forward pass."""

import jax

from benchmarks.networks import compiled, forward_of, paper_experiment, prepared, synthetic_batch
from benchmarks.results import Measurement, measurement
from benchmarks.timing import alternate, repeated
from occrobnet_jax.models.keypoints import select_keypoints
from occrobnet_jax.training.targets import OBJECT_LABEL, PEAK, joint_heatmap

BATCH_SIZE, REPEATS = 32, 10


def measure(name: str, runs: int) -> Measurement:
    """Measure seconds an image; the maps are what a well trained network makes, with noise that has no ties."""
    experiment = paper_experiment(BATCH_SIZE)
    run, state = prepared(experiment)
    batch = synthetic_batch(BATCH_SIZE)
    predict = forward_of(run)
    size = batch.segmentation.shape[1]
    noise = 5 * jax.random.normal(jax.random.key(0), (2, *batch.segmentation.shape))
    heatmap = joint_heatmap(batch, 2, (size, size), 1.25, "sum") + noise[0]
    object_map = PEAK * (batch.segmentation == OBJECT_LABEL) + noise[1]
    select = compiled(lambda joints, things: select_keypoints(joints, things, experiment.model))
    contestants = {
        "ours": repeated(lambda: jax.block_until_ready(select(heatmap, object_map)), REPEATS),
        "forward pass": repeated(lambda: jax.block_until_ready(predict(state.variables, batch.image)), 1),
    }
    times = alternate(contestants, runs)
    times["ours"] = [value / REPEATS for value in times["ours"]]
    return measurement(times, "s/image", BATCH_SIZE)
