"""A run's whole configuration as one typed, frozen record; `configs/` writes it down, `config.json` keeps it."""

import dataclasses
from typing import Literal

from input_pipeline.config import DataConfig
from occrobnet_jax.choices import check_choices, ranged
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.ops.gradient_sums import GradientSums
from occrobnet_jax.parallel.compiler import XlaFlags
from occrobnet_jax.parallel.hosts import HostsConfig
from occrobnet_jax.parallel.mesh import MeshConfig

OF_EMBEDDED_HAND = frozenset({"synthetic_hands", "synthetic_hands_v2", "synthetic_occlusion"})
"""Datasets whose pose parameters are the embedded hand's; those of others are MANO's."""

WITHOUT_POSES = frozenset({"custom"})
"""Datasets that have no pose parameters."""


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Fields of `config.loss`: weights of the terms, and the shapes of their targets."""

    heatmap: float = 0.01
    object_map: float = 0.001
    hand_maps: float = 0.001  # [ours]
    joint_maps: float = 1.0  # of a joint's own map [ours]
    finder: float = 1.0  # whether a cell is the middle of a hand [ours]
    finder_box: float = 1.0  # and where that hand's box is [ours]
    keypoint_class: float = 1.0
    hand_identity: float = 0.0  # which hand a token belongs to; 1 with model.token_classifier="joint_and_hands" [ours]
    axis_heatmaps: float = 1000.0  # 2.5D
    bone_vectors: float = 1.0  # per mm
    root_relative_joints: float = 0.1  # per mm
    hand_pose: float = 0.07  # angles; per radian, summed over the three numbers of a rotation
    hand_shape: float = 5.0  # angles
    weak_joints_2d: float = 0.01  # per px of 128 across the crop
    weak_camera_scale: float = 0.005
    weak_camera_translation: float = 0.05
    joints_2d: float = 0.1  # of the 2D head, per px of 128 across the crop [ours]
    relative_translation: float = 100.0  # per m
    hand_type: float = 1.0  # KypT has 0, which leaves this head untrained [ours]
    object_corners: float = 0.1  # per mm
    object_translation: float = 100.0  # per m
    visibility: float = 1.0  # [ours]
    object_corner_factors: tuple[tuple[int, float], ...] = ()  # (object id, factor); KypT: 4 for YCB 10 and 24
    object_translation_factors: tuple[tuple[int, float], ...] = ()  # the same of translations [KypT: 4 for 10 and 24]
    normalise: Literal["all", "valid"] = "all"
    heatmap_overlap: Literal["sum", "max"] = "sum"  # of near joints; "max" suits coarse heatmaps [ours]
    heatmap_sigma_hm: float = 1.25
    axis_sigma_bins: float = 1.25
    match_radius_hm: float = 3.0  # within which a token is a joint's

    def __post_init__(self) -> None:
        check_choices(self, "loss")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Fields of `config.optimizer`; the defaults are Keypoint Transformer's, whose options beyond are marked [ours]."""

    learning_rate: float = ranged(1e-4, above=0)
    backbone_learning_rate: float = ranged(1e-5, above=0)  # of backbone and U-Net neck; learning_rate from scratch
    preconditioner: Literal["adam", "muon"] = "adam"  # "muon": orthogonalised momentum for weight matrices, Adam for
    # the rest; from scratch it needs far fewer steps [ours]
    muon_rms: float = ranged(0.2, at_least=0)  # of a matrix's update at rate 1; Adam's are about 0.2 in practice
    muon_most_elements: int = ranged(0, at_least=0)  # larger matrices are Adam's, cheaper there; 0 is no limit
    beta1: float = ranged(0.9, at_least=0, below=1)
    beta2: float = ranged(0.999, at_least=0, below=1)
    weight_decay: float = ranged(0.01, at_least=0)  # of every parameter, as PyTorch's AdamW does by itself
    schedule: Literal["constant", "drop", "step", "cosine"] = "constant"  # "drop" to a tenth for the last fifth [ours];
    # "step": by a factor every so many steps [HandOccNet]; "cosine": to 0 at the last one [ours]
    decay_every_steps: int = 0  # of "step"
    decay_factor: float = ranged(0.7, above=0, at_most=1)  # of "step" [HandOccNet]
    warmup_steps: int = ranged(0, at_least=0)  # linear [ours]
    clip_norm: float = ranged(0.0, at_least=0)  # of the whole gradient; 0 is off [ours]
    average_decay: float = ranged(0.0, at_least=0, below=1)  # of the average of the weights that is evaluated instead;
    # 0 is off [ours]

    def __post_init__(self) -> None:
        check_choices(self, "optimizer")
        if self.schedule == "step" and self.decay_every_steps < 1:
            raise ValueError(f"optimizer.decay_every_steps={self.decay_every_steps} must be 1 or more for 'step'")


@dataclasses.dataclass(frozen=True)
class RecipeConfig:
    """Fields of `config.recipe`: what steps and learning rates follow from (`configs/recipe.py`); 0 is anything."""

    global_batch_size: int = 0  # that steps and learning rates are of
    train_examples: int = 0  # in an epoch, by which steps were counted
    needs_weights: bool = False  # its learning rates are for a pretrained backbone


@dataclasses.dataclass(frozen=True)
class WandbConfig:
    """Fields of `config.wandb`."""

    mode: Literal["online", "shared", "offline", "disabled"] = "disabled"  # shared: eval.py --watch writes beside it
    project: str = "occrobnet-jax"
    entity: str = ""  # user or team; "" is the account's own
    name: str = ""  # of the run; "" is the workdir's
    group: str = ""  # runs that belong together, such as the seeds of one experiment
    tags: tuple[str, ...] = ()
    checkpoints: bool = True  # eval.py keeps the checkpoint that it evaluates as an artifact

    def __post_init__(self) -> None:
        check_choices(self, "wandb")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Fields of `config`. Steps are optimiser steps; a run is at step N when N of them are finished."""

    seed: int = ranged(0, at_least=0)
    total_steps: int = ranged(100_000, at_least=1)  # the schedule is laid out over these
    stop_after_steps: int = ranged(0, at_least=0)  # end here, with the schedule unchanged; 0 is total_steps
    init_from: str = ""  # workdir, checkpoint or network's file whose weights to start with, as far as both have them
    init_parts: tuple[str, ...] = ()  # of the network that take them: ("backbone", "fpn"); () is all
    init_may_differ: tuple[str, ...] = ()  # parts that start anew where its shapes differ: ("decoder/queries",)
    global_batch_size: int = ranged(32, at_least=1)  # over all devices of all hosts
    accumulation_steps: int = ranged(1, at_least=1)  # microbatches of a batch, one after another, to save memory
    compute_dtype: Literal["float32", "bfloat16"] = "float32"  # of activations; parameters and losses are float32
    gradient_sums: GradientSums = "compute_dtype"  # over devices, of weights; "float32" sends twice as much in bfloat16
    teacher_forced_steps: int = ranged(0, at_least=0)  # first ones, with tokens at the true joints
    teacher_fading_steps: int = ranged(0, at_least=0)  # after them, in which ever fewer examples have that [ours]
    log_every_steps: int = ranged(50, at_least=1)
    eval_every_steps: int = ranged(2_000, at_least=0)  # and at the end; 0: never, that is left to eval.py
    checkpoint_every_steps: int = ranged(2_000, at_least=1)  # and always at the end
    keep_checkpoints: int = ranged(3, at_least=1)  # the newest ones
    keep_every_steps: int = ranged(0, at_least=0)  # and those of every so many steps; 0: none
    keep_best: str = "mpjpe_mm"  # and the one whose evaluation is best in this metric; "": none
    best_is: Literal["lowest", "highest"] = "lowest"
    root_depth: Literal["own", "ground_truth"] = "own"  # that evaluation puts hands at; matters in 2.5D only
    tensorboard: bool = False  # whether WORKDIR/tensorboard has the curves too
    xla_flags: XlaFlags = "default"  # what GPUs' and TPUs' compilers are told: docs/xla_flags.md
    compilation_cache_dir: str = "~/.cache/occrobnet_jax"  # what XLA compiled before; "" is off
    recipe: RecipeConfig = dataclasses.field(default_factory=RecipeConfig)
    hosts: HostsConfig = dataclasses.field(default_factory=HostsConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    wandb: WandbConfig = dataclasses.field(default_factory=WandbConfig)

    def __post_init__(self) -> None:
        check_choices(self, "config")
        if self.model.token_classifier == "joint_and_hands" and not self.loss.hand_identity:
            raise ValueError(
                "model.token_classifier='joint_and_hands' has a sigmoid for each hand that loss.hand_identity=0 never "
                "teaches; set it above 0, for example to 1"
            )

    @property
    def loss_in_use(self) -> LossConfig:
        """Without the terms of pose parameters where the dataset's are of another hand than the network's."""
        if self.has_pose_labels:
            return self.loss
        return dataclasses.replace(self.loss, hand_pose=0.0, hand_shape=0.0)

    @property
    def has_pose_labels(self) -> bool:
        """Whether the dataset's `hand_pose` and `hand_shape` are of the hand that a network of angles poses."""
        names = set(self.data.name.split("+")) - WITHOUT_POSES
        return names.isdisjoint(OF_EMBEDDED_HAND) if self.model.hand_model else names <= OF_EMBEDDED_HAND

    @property
    def last_step(self) -> int:
        """The step at which the process ends."""
        return min(self.stop_after_steps or self.total_steps, self.total_steps)
