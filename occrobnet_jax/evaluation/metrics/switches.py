"""What labels were made with: the part of a protocol's switches that the data decide."""

from typing import Any

from input_pipeline.config import DataConfig
from input_pipeline.manifest import dataset_manifest


def data_switches(data: DataConfig, split: str) -> dict[str, Any]:
    """Return which data, what they lack, and how crops were taken.

    Raises:
        ValueError: the dataset isn't there, or its manifest is damaged.
    """
    manifest = dataset_manifest(data.data_dir, data.name)
    return {
        "dataset": data.name,
        "dataset_version": manifest["version"],
        "dataset_sha256": manifest["content_sha256"],
        "partial": manifest["partial"],
        "occlusion_labels": manifest["occlusion"],
        "split": split,
        "box_source": data.box_source,
        "box_pad_px": data.box_pad_px,
        "box_scale": data.box_scale,
        "crop_centre": data.crop_centre,
        "input_size_px": data.input_size_px,
        "black_frames": data.black_frames,
    }
