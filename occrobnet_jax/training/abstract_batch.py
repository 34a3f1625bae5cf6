"""Shapes, types and layout of a batch, for programs that are compiled without any data."""

import dataclasses
import functools

import cv2
import jax
import numpy as np
from jax.sharding import Mesh

from input_pipeline.schema import empty_example
from input_pipeline.transforms import crop_example
from occrobnet_jax.parallel.mesh import batch_sharding
from occrobnet_jax.parallel.packed_batch import PackedBatch
from occrobnet_jax.runs.experiment import Experiment


def abstract_batch(experiment: Experiment, mesh: Mesh) -> PackedBatch:
    """Return the global batch on a mesh, of `jax.ShapeDtypeStruct`s: what the input pipeline makes of a photo."""
    side = experiment.data.input_size_px
    photo = cv2.imencode(".png", np.zeros((side, side, 3), np.uint8))[1].tobytes()
    example = empty_example() | {"image": photo, "height": np.int32(side), "width": np.int32(side)}
    example |= {"box_px": np.array([0, 0, side, side], np.float32), "box_known": np.uint8(1)}
    example |= {"intrinsics": np.eye(3, dtype=np.float32)}
    data = dataclasses.replace(experiment.data, box_source="stored")
    row = crop_example(example, data, experiment.model.heatmap_stride)

    size = experiment.global_batch_size
    fields = {name: np.broadcast_to(value, (size, *value.shape)) for name, value in row.items() if name != "key"}
    layout = batch_sharding(mesh)
    as_shape = functools.partial(jax.ShapeDtypeStruct, sharding=layout)
    return jax.tree.map(lambda values: as_shape(values.shape, values.dtype), PackedBatch.of(fields))
