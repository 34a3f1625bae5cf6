"""TFDS builders of the embedded datasets, for those who work with TFDS's own tools.

`python -m input_pipeline.prepare synthetic_hands` writes the same examples in several processes and can resume; these
write them in one: `SyntheticHandsBuilder(data_dir=..., file_format="array_record").download_and_prepare()`.
"""

from collections.abc import Iterator
from typing import Any

import tensorflow_datasets as tfds

from input_pipeline.records import features
from input_pipeline.schema import Example
from input_pipeline.synthetic.photos import VERSION_2, SyntheticPhotos
from input_pipeline.synthetic.source import VERSION, SyntheticHands

DESCRIPTION = """Ray-cast scenes of one or two posed CC0 hands, alone, interacting, or holding a procedural object, with
exact labels: 3D joints, intrinsics, object pose, segmentation, and what hides each joint. `hand_pose` is axis-angle
for the wrist and 15 finger joints (index, middle, pinky, ring, thumb, base first), `hand_shape` weighs MakeHuman's ten
right-hand morph targets, and `hand_translation_m` is added last: occrobnet_jax.hands.hand_model.HandModel with
occrobnet_jax.hands.embedded_hand.load_hand().models[hand] returns joints_cam_m for them."""


class SyntheticHandsBuilder(tfds.core.GeneratorBasedBuilder):
    """Generates the dataset while it is prepared; `source` sets counts, image size and seed."""

    name = "synthetic_hands"
    VERSION = tfds.core.Version(VERSION)
    SOURCE: type[SyntheticHands] = SyntheticHands

    def __init__(self, *, source: SyntheticHands | None = None, **options: Any) -> None:
        """Take TFDS's usual options besides the source."""
        self._source = source or self.SOURCE()
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(builder=self, description=DESCRIPTION, features=features(), disable_shuffling=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[int, Example]]]:
        return {split: self._generate_examples(split) for split in self._source.splits}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, Example]]:
        for index in range(self._source.splits[split]):
            yield index, self._source.example(split, index)


class SyntheticHandsV2Builder(SyntheticHandsBuilder):
    """Generates `synthetic_hands_v2` while it is prepared."""

    name = "synthetic_hands_v2"
    VERSION = tfds.core.Version(VERSION_2)
    SOURCE = SyntheticPhotos
