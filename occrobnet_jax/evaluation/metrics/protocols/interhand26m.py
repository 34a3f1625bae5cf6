"""InterHand2.6M: one average, and the switches in which published numbers differ.

Common to all: each hand's wrist joined to its own true wrist in camera axes, no scale, no rotation; a hand whose wrist
doesn't count doesn't count at all; errors are averaged per joint over samples and then over joints. "all" pools both
kinds of samples per joint and so is not the mean of "single" and "interacting".
"""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measure, Measures, auc, per_joint, pooled, within
from occrobnet_jax.evaluation.metrics.protocols.conventions import Convention, Extras, need
from occrobnet_jax.evaluation.metrics.protocols.depth import DEPTHS, MM_PER_M, joints_at_depth, root_depth_m
from occrobnet_jax.geometry.alignment import root_relative
from occrobnet_jax.geometry.cameras import back_project
from occrobnet_jax.skeleton import FINGERS, HAND_NAMES, INTERHAND, LEFT, PARENTS, RIGHT, WRIST, finger_of

BENCHMARK = "interhand26m"
KYPT_DEPTH_M = 0.15
PCK_MM = (10, 20, 30, 40, 50)
BOXES = {"stored": "the dataset's own (true) ones", "joints": "around the true joints", "rootnet": "RootNet's"}


@dataclasses.dataclass(frozen=True)
class InterHand(Convention):
    """A convention of InterHand2.6M; the fields but the first two are its switches."""

    published: str
    described: str
    joints: str  # which count: the dataset's mask of the image; of those, the ones in the crop; all known in 3D
    wrist: str  # whether it counts, with its error of 0
    depth: str  # of the wrists of a 2.5D pose
    mrrpe: str  # from the network's own head; or from wrist pixels, the right wrist's depth and the relative depth
    subset: str  # of annotations, by their ids
    frames: str
    black: str

    SWITCHES: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "joints": ("image", "crop", "annotated"),
        "wrist": ("counted", "left_out"),
        "depth": DEPTHS,
        "mrrpe": ("regressed", "rebuilt"),
        "subset": ("H+M", "H", "M"),
        "frames": ("all", "with_mano"),
        "black": ("kept", "dropped"),
    }

    @property
    def name(self) -> str:
        """`interhand26m/internet`, and `+switch=value` for each one that is set otherwise."""
        (default,) = (each for each in PUBLISHED if each.published == self.published)
        changed = [switch for switch in self.SWITCHES if getattr(self, switch) != getattr(default, switch)]
        return f"{BENCHMARK}/{self.published}" + "".join(f"+{switch}={getattr(self, switch)}" for switch in changed)

    @property
    def words(self) -> str:
        """The published use, and all switches."""
        return f"{self.described}; " + ", ".join(f"{switch}={getattr(self, switch)}" for switch in self.SWITCHES)

    def resolve(self, setting: Setting) -> "InterHand":
        """Return the convention without a source of depth, and nothing rebuilt from it, where the poses are 3D already.

        Raises:
            ValueError: it isn't known whether they are, or no depth is wanted where one is needed.
        """
        if "representation" not in setting.switches:
            raise ValueError("the predictions don't say whether they are 2.5D; write them again with eval.py")
        is_2p5d = setting.switches["representation"] == "2.5d"
        if is_2p5d and self.depth == "none":
            raise ValueError(f"the predictions are 2.5D and need a depth: one of {', '.join(DEPTHS[:-1])}")
        return self if is_2p5d else dataclasses.replace(self, depth="none", mrrpe="regressed")

    def notes(self, records: Records, setting: Setting) -> list[str]:
        """Return where the crops came from, which the conventions don't say."""
        box = setting.switches.get("box_source", "unknown")
        return [f"crops from boxes: {BOXES.get(box, box)}"]

    @property
    def if_none(self) -> str:
        """What the switches ask for."""
        subset = f"subset={self.subset} asks for the annotation ids of its list"
        fits = (
            "frames=with_mano asks for frames with a MANO fit: prepare the dataset with --mano=DIR, or score with "
            "+frames=all"
        )
        return "; ".join([subset] * (self.subset != "H+M") + [fits] * (self.frames == "with_mano"))

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the frames of the subset; with a MANO fit and not black, where the convention asks for that."""
        rows = np.ones(len(records["hand_present"]), bool)
        if self.subset != "H+M":
            rows &= _in_subset(records, extras, self.subset)
        if self.frames == "with_mano":
            rows &= need(records, "hand_fit_known", "frames=with_mano").astype(bool).any(axis=1)
        if self.black == "dropped":
            rows &= ~need(records, "is_black", "black=dropped").astype(bool)
        return rows

    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Yield MPJPE, PCK and its area by kind of sample, MRRPE, handedness; MPJPE per hand, finger and joint."""
        _check_black(self, records, setting)
        joints_cam_m = joints_at_depth(records, self.depth)
        errors = MM_PER_M * np.linalg.norm(root_relative(joints_cam_m) - root_relative(_truth(records)), axis=-1)
        counting = counting_joints(records, self.joints, setting)
        valid = counting.copy()
        if self.wrist == "left_out":
            valid[..., WRIST] = False
        for kind, members in kinds_of_samples(records).items():
            of_kind = valid & members[:, None, None]
            yield f"mpjpe_mm/{kind}", per_joint(errors, of_kind)
            yield f"auc_0_50mm/{kind}", per_joint(auc(errors), of_kind)
            for threshold in PCK_MM:
                yield f"pck_{threshold}mm/{kind}", per_joint(within(errors, threshold), of_kind)
        yield from _by_part(errors, valid)
        yield f"mrrpe_mm/{self.mrrpe}", self._mrrpe(records, counting)
        yield "handedness_accuracy", _handedness(records)

    def _mrrpe(self, records: Records, counting: Bool[np.ndarray, "n 2 21"]) -> Measure:
        """Return error of the step from the right wrist to the left one, on interacting samples that know both."""
        step = records["predicted_relative_translation_m"].astype(np.float64)
        if self.mrrpe == "rebuilt":
            step = _rebuilt_step(records, self.depth)
        truth = _truth(records)[:, :, WRIST]
        error = MM_PER_M * np.linalg.norm(step - (truth[:, LEFT] - truth[:, RIGHT]), axis=-1)
        both = counting[..., WRIST].all(axis=1) & kinds_of_samples(records)["interacting"] & np.isfinite(error)
        return pooled(error, both)


PUBLISHED = (
    InterHand(
        "internet",
        "InterNet's own evaluator (ECCV 2020), with RootNet's depth: its Table, and DIGIT's",
        *("image", "counted", "rootnet", "rebuilt", "H+M", "all", "kept"),
    ),
    InterHand(
        "internet_gt_depth",
        "the same at the true depth of the wrists, which lowers the errors: mmpose, A2J-Transformer",
        *("image", "counted", "ground_truth", "rebuilt", "H+M", "all", "kept"),
    ),
    InterHand(
        "kypt",
        "Keypoint Transformer's code (CVPR 2022) with RootNet's depth: its Table 1, presumably OccRobNet's 11.43",
        *("crop", "counted", "rootnet", "regressed", "H+M", "with_mano", "dropped"),
    ),
    InterHand(
        "kypt_gt_depth",
        "the same at the true depth of the wrists, as its code does without RootNet's file",
        *("crop", "counted", "ground_truth", "regressed", "H+M", "with_mano", "dropped"),
    ),
    InterHand(
        "own",
        "ours: nothing true enters, wrists don't count, every joint known in 3D does",
        *("annotated", "left_out", "own", "regressed", "H+M", "all", "kept"),
    ),
)


def counting_joints(records: Records, which: str, setting: Setting) -> Bool[np.ndarray, "n 2 21"]:
    """Return joints that a convention lets count, of hands whose wrist is one of them."""
    counting = records["joint_annotated"].astype(bool)
    if which == "image":
        counting = counting & need(records, "joint_in_image", "joints=image").astype(bool)
    if which == "crop":
        # The wrist decides by the image's mask, before the crop is looked at.
        in_image = need(records, "joint_in_image", "joints=crop").astype(bool) & counting
        return in_image & in_image[..., WRIST:] & _in_kypts_volume(records, setting)
    return counting & counting[..., WRIST:]


def _in_kypts_volume(records: Records, setting: Setting) -> Bool[np.ndarray, "n 2 21"]:
    """Return whether a joint fits into Keypoint Transformer's heatmaps, as its `transform_input_to_output_space` asks
    in 2.5D.

    That is 0 <= x < size in its own crop, where the box's centre lies at half the size, and a depth from the parent
    joint of -150 mm to 150 mm (common/utils/preprocessing.py; `bbox_3d_size` of main/config.py). Where the parent is
    not annotated, nothing is known about that depth, and the joint counts.
    """
    to_kypt_px = 0.0 if setting.switches.get("crop_centre") == "half_size" else 0.5
    px = need(records, "joints_px", "joints=crop").astype(np.float64) + to_kypt_px
    inside = ((px >= 0) & (px < setting.input_size_px)).all(axis=-1)
    depth, annotated = _truth(records)[..., 2], records["joint_annotated"].astype(bool)
    parents = [*PARENTS[:WRIST], WRIST]
    from_parent_m = np.where(annotated[..., parents], depth - depth[..., parents], 0.0)
    return inside & (from_parent_m >= -KYPT_DEPTH_M) & (from_parent_m < KYPT_DEPTH_M)


def kinds_of_samples(records: Records) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return masks of the samples of one hand, of two, and of all."""
    hands = records["hand_present"].astype(int).sum(axis=1)
    return {"single": hands == 1, "interacting": hands == 2, "all": hands >= 0}


def interhand_measures(
    errors_mm: Float[np.ndarray, "n 2 21"], valid: Bool[np.ndarray, "n 2 21"], records: Records
) -> Measures:
    """Yield `mpjpe_mm/interhand_*_42` of metrics.json: joints=annotated, wrist=counted, depth as the run's config says.

    Args:
        errors_mm: wrist-relative errors.
        valid: of the joints but the wrists, as `joint_errors.root_relative_errors_mm` gives them.
        records: of the same examples; tells which wrists are annotated and how many hands there are.
    """
    valid = valid.copy()
    valid[..., WRIST] = records["joint_annotated"][..., WRIST]
    for kind, members in kinds_of_samples(records).items():
        yield f"mpjpe_mm/interhand_{kind}_42", per_joint(errors_mm, valid & members[:, None, None])


def _by_part(errors: Float[np.ndarray, "n 2 21"], valid: Bool[np.ndarray, "n 2 21"]) -> Measures:
    for hand, hand_name in enumerate(HAND_NAMES):
        yield f"mpjpe_mm/all/{hand_name}", per_joint(errors[:, hand], valid[:, hand])
    for finger in FINGERS:
        members = [joint for joint in range(WRIST) if finger_of(joint) == finger]
        yield f"mpjpe_mm/all/{finger}", per_joint(errors[..., members], valid[..., members])
    for hand, hand_name in enumerate(HAND_NAMES):
        for joint, joint_name in enumerate(INTERHAND):
            yield f"mpjpe_mm/all/{hand_name}_{joint_name}", pooled(errors[:, hand, joint], valid[:, hand, joint])


def _rebuilt_step(records: Records, depth: str) -> Float[np.ndarray, "n 3"]:
    """Return the left wrist's pixel at the right wrist's depth plus the predicted relative depth, minus the right
    wrist.

    What the heatmaps say of a wrist's own relative depth is added, as InterNet's `evaluate` does
    (data/InterHand2.6M/dataset.py, "# mrrpe").
    """
    right_depth = root_depth_m(records, depth)[:, RIGHT]
    relative_depth = records["predicted_relative_translation_m"].astype(np.float64)[:, 2]
    depths = np.stack([right_depth, right_depth + relative_depth], axis=1)
    depths = depths + records["predicted_joints_rel_m"].astype(np.float64)[:, :, WRIST, 2]
    wrists_px = records["predicted_joints_px"].astype(np.float64)[:, :, WRIST]
    wrists = back_project(wrists_px, depths, records["intrinsics"].astype(np.float64)[:, None])
    return wrists[:, LEFT] - wrists[:, RIGHT]


def _handedness(records: Records) -> Measure:
    """Return both bits right; exactly 0.5 is neither yes nor no, and so wrong. NaN: the program doesn't say."""
    probability, present = records["predicted_hand_probability"], records["hand_present"].astype(bool)
    right: np.ndarray = np.asarray(np.where(present, probability > 0.5, probability < 0.5).all(axis=1), np.float64)
    counts = records["hand_present_known"].astype(bool) & np.isfinite(probability).all(axis=1)
    return pooled(right, counts)


def _in_subset(records: Records, extras: Extras, subset: str) -> Bool[np.ndarray, " n"]:
    if extras.annotation_ids is None:
        raise ValueError(
            f"subset={subset} needs the list of its annotation ids: --annotation_ids=FILE "
            "(aid_human_annot_test.txt for H)"
        )
    ids = need(records, "annotation_id", f"subset={subset}")
    return np.isin(ids, np.fromiter(extras.annotation_ids, np.int64, len(extras.annotation_ids)))


def _check_black(convention: InterHand, records: Records, setting: Setting) -> None:
    """Refuse predictions whose labels were masked in evaluation: they can't be brought back."""
    masked = setting.switches.get("black_frames") == "mask"
    if convention.black == "kept" and masked and records.get("is_black", np.array(True)).any():
        raise ValueError(
            "black frames were masked when these predictions were made; evaluate with --config.data.black_frames=keep, "
            "or score with +black=dropped"
        )


def _truth(records: Records) -> Float[np.ndarray, "n 2 21 3"]:
    return records["joints_cam_m"].astype(np.float64)
