"""A batch of grey photos, for programs that are compiled or measured without a dataset."""

import dataclasses

import cv2
import jax
import numpy as np

from input_pipeline.schema import empty_example
from input_pipeline.transforms import crop_example
from occrobnet_jax.runs.experiment import Experiment
from occrobnet_jax.types import Batch

GREY = 128


def blank_batch(experiment: Experiment) -> Batch:
    """Return the global batch that the input pipeline would make of grey photos without labels."""
    side = experiment.data.input_size_px
    photo = cv2.imencode(".png", np.full((side, side, 3), GREY, np.uint8))[1].tobytes()
    example = empty_example() | {"image": photo, "height": np.int32(side), "width": np.int32(side)}
    example |= {"box_px": np.array([0, 0, side, side], np.float32), "box_known": np.uint8(1)}
    example |= {"intrinsics": np.eye(3, dtype=np.float32)}
    data = dataclasses.replace(experiment.data, box_source="stored")
    row = crop_example(example, data, experiment.model.heatmap_stride)
    size = experiment.global_batch_size
    return jax.tree.map(lambda value: np.broadcast_to(value, (size, *value.shape)), Batch.of(row))
