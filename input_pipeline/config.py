"""Every choice of the input pipeline, as one frozen record; the defaults are Keypoint Transformer's."""

import dataclasses
from typing import Literal

from occrobnet_jax.choices import check_choices
from occrobnet_jax.files.paths import inner

COARSEST_STRIDE = 32  # of the backbone: the input must divide into its cells

SHARES = (
    *("shift_share", "scale_share", "colour_share", "contrast_share", "brightness_share", "gamma_share"),
    *("rotation_probability", "flip_probability", "grey_probability", "blur_probability", "noise_probability"),
    *("jpeg_probability", "occluder_probability", "zoom_out_probability"),
)
"""Fields that lie between 0 and 1."""


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Fields of `config.data`.

    Raises:
        ValueError: a field is out of its range.
    """

    # --- What is read
    name: str = "synthetic_hands"  # as input_pipeline.prepare wrote it; "ho3d_v2+h2o3d" trains on both
    shares: tuple[float, ...] = ()  # of the datasets of `name` in training: (0.7, 0.3); () shows every example as often
    data_dir: str = "data"  # folder that holds the prepared datasets
    train_split: str = "train"  # TFDS syntax: "train[:8]" are the first 8 examples, "train+val" both
    eval_split: str = "val"  # of several datasets, "h2o3d/val" is that of one
    num_workers: int = 0  # processes that decode and augment; 0 uses threads of this process

    # --- The crop
    input_size_px: int = 256  # side of the square that the network sees
    box_source: Literal["stored", "joints", "rootnet"] = "stored"  # "joints": around the labels, hands and object
    box_pad_px: float = 0.0  # of the photo, added to each side of the box; KypT: 10 on HO-3D and H2O-3D
    box_scale: float = 1.25  # side of the crop / long side of the box, the padding included
    crop_centre: Literal["pixel_grid", "half_size"] = "pixel_grid"  # where the box's centre comes to lie in the crop:
    # (size - 1) / 2, or half a pixel off at size / 2 [KypT]
    crop_averaging: bool = True  # of the photo's pixels where the crop is much smaller; KypT only samples
    black_frames: Literal["mask_in_training", "mask", "keep"] = "mask_in_training"  # whether their labels count

    # --- Augmentation of training examples
    augment: bool = True
    shift_share: float = 0.15  # of the crop's side; uniform to either side, x and y
    scale_share: float = 0.25  # side x (1 + scale_share * normal clipped to +-1)
    zoom_out_probability: float = 0.0  # that the side is multiplied once more, so that the finder sees small hands
    most_zoom_out: float = 4.0  # by a factor between 1 and this, log-uniform [ours]
    rotation_deg: float = 45.0  # angle = rotation_deg * normal clipped to +-2
    rotation_probability: float = 0.6  # that an example is rotated at all
    flip_probability: float = 0.5  # a mirrored right hand is a left hand; the object's pose is then unknown
    rotation_max_deg: float = 0.0  # above 0 angles are uniform up to it instead, either way; 180: all [ours]
    colour_share: float = 0.2  # each channel x (1 +- colour_share), uniform
    # --- How the crop looks, see looks.py; all of it ours
    contrast_share: float = 0.0  # x (1 +- contrast_share) about grey
    brightness_share: float = 0.0  # +- brightness_share of white
    gamma_share: float = 0.0  # exponent exp(+-gamma_share)
    grey_probability: float = 0.0
    blur_probability: float = 0.0
    noise_probability: float = 0.0
    jpeg_probability: float = 0.0
    occluder_probability: float = 0.0  # that one to three things hide a part of the crop

    def __post_init__(self) -> None:
        check_choices(self, "data")
        for name in self.name.split("+"):
            if "/" in inner(name):
                raise ValueError(f"data.name={name!r} must be the name of a dataset in data.data_dir={self.data_dir!r}")
        self._check_shares()
        if self.input_size_px < COARSEST_STRIDE or self.input_size_px % COARSEST_STRIDE:
            raise ValueError(
                f"data.input_size_px={self.input_size_px} must be a positive multiple of {COARSEST_STRIDE}"
            )
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers={self.num_workers} must be 0 or more")
        if not 0 <= self.box_pad_px < float("inf"):
            raise ValueError(f"data.box_pad_px={self.box_pad_px} must be 0 or more")
        if not 0 < self.box_scale < float("inf"):
            raise ValueError(f"data.box_scale={self.box_scale} must be positive")
        if not 1 <= self.most_zoom_out < float("inf"):
            raise ValueError(f"data.most_zoom_out={self.most_zoom_out} must be 1 or more")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"data.{name}={getattr(self, name)} must lie between 0 and 1")
        if self.scale_share == 1:
            raise ValueError("data.scale_share=1 lets the crop shrink to nothing; take less than 1")
        for name in ("rotation_deg", "rotation_max_deg"):
            if not 0 <= getattr(self, name) <= 180:
                raise ValueError(f"data.{name}={getattr(self, name)} must lie between 0 and 180 degrees")

    def _check_shares(self) -> None:
        names = self.name.split("+")
        if self.shares and (
            len(self.shares) != len(names) or min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6
        ):
            raise ValueError(
                f"data.shares={self.shares} must be one number above 0 for each of the {len(names)} datasets of "
                f"data.name={self.name!r}, together 1"
            )
