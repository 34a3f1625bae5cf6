"""Optional lists of InterHand2.6M: annotation ids of the subsets H and M, and RootNet's boxes and depths."""

from pathlib import Path

import numpy as np

from input_pipeline.convert.interhand26m.layout import SplitFiles
from occrobnet_jax.files.json_stream import json_items
from occrobnet_jax.files.readers import MEBIBYTE, lookup, number_array, read_words
from occrobnet_jax.skeleton import NUM_HANDS

MAX_LIST_BYTES = 64 * MEBIBYTE
ROOTNET = np.dtype([("known", "u1"), ("box", "f8", 4), ("depth_mm", "f8", NUM_HANDS)])


def in_subset(annotations: np.ndarray, files: SplitFiles, subset: str) -> np.ndarray:
    """Return the annotations of a subset, in their order.

    Raises:
        ValueError: its list is missing or damaged, or names none of them.
    """
    if subset == "all" or not (files.human_ids or files.machine_ids):
        return annotations
    listed = files.machine_ids if subset == "machine" and files.machine_ids else files.human_ids
    if listed is None:
        raise ValueError(f"the human annotations of {files.data} need their list of ids")
    try:
        ids = np.array(read_words(listed, MAX_LIST_BYTES), np.int64)
    except ValueError as error:
        raise ValueError(f"{listed} is not a list of annotation ids, one a line: {error}") from error
    is_listed = np.isin(annotations["id"], ids)
    kept = annotations[~is_listed if subset == "machine" and listed == files.human_ids else is_listed]
    if not len(kept):
        raise ValueError(f"{listed} lists no annotation of {files.data}")
    return kept


def read_rootnet(path: Path | None, ids: np.ndarray) -> np.ndarray:
    """Read RootNet's box (x, y, width, height) and depths for each annotation, where the file has them."""
    table = np.zeros(len(ids), ROOTNET)
    if path is None:
        return table
    order = np.argsort(ids, kind="stable")
    for number, record in enumerate(json_items(path, "")):
        name = f"{path}: entry {number}"
        identity = number_array(lookup(record, "annot_id", source=path), (), np.int64, name=f"{name}/annot_id")
        box = number_array(lookup(record, "bbox", source=path), (4,), np.float64, name=f"{name}/bbox")
        depth = lookup(record, "abs_depth", source=path)
        depth = number_array(depth, (NUM_HANDS,), np.float64, name=f"{name}/abs_depth")
        at = np.searchsorted(ids, identity, sorter=order)
        if at < len(ids) and ids[order[at]] == identity:
            table[order[at]] = (1, box, depth)
    return table
