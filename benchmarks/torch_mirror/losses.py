"""Every loss, as `occrobnet_jax.training.losses` with `normalise="all"`."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.torch_mirror import targets
from benchmarks.torch_mirror.targets import TorchBatch
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.runs.experiment import LossConfig
from occrobnet_jax.skeleton import LEFT, RIGHT, WRIST
from occrobnet_jax.training.losses import GRID_PX, MM
from occrobnet_jax.training.targets import OBJECT_LABEL, PEAK

Outputs = dict[str, Tensor]
Terms = dict[str, Tensor]


def losses(outputs: Outputs, batch: TorchBatch, model: ModelConfig, config: LossConfig) -> Terms:
    """Return all terms that the outputs allow, weighted means each."""
    if config.normalise != "all" or config.heatmap_overlap != "sum" or config.object_corner_factors:
        raise ValueError("the mirror has the losses' default settings only")
    mask = (batch.is_real & outputs["valid"].any(-1)).to(outputs["heatmap"])
    terms = _map_losses(outputs, batch, model, config)
    terms["keypoint_class"] = _class_loss(outputs, batch, model, config)
    terms |= _hand_losses(outputs, batch, mask, model, config)
    terms |= _head_losses(outputs, batch, mask)
    if "object_rotation_6d" in outputs:
        terms |= _object_losses(outputs, batch, mask)
    weights = dataclasses.asdict(config) | {"object_triangle": config.object_translation}
    return {name: weights[name] * value for name, value in terms.items()}


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over all elements, those outside the mask counted as 0."""
    return (values * mask).sum() / values.numel()


def _map_losses(outputs: Outputs, batch: TorchBatch, model: ModelConfig, config: LossConfig) -> Terms:
    size = outputs["heatmap"].shape[-1]
    wanted = targets.joint_heatmap(batch, model.heatmap_stride, size, config.heatmap_sigma_hm)
    valid = (targets.fully_annotated(batch) & batch.is_real)[:, None, None]
    terms = {"heatmap": masked_mean((outputs["heatmap"] - wanted) ** 2, valid)}
    if "object_map" in outputs:
        valid = (batch.segmentation_known & batch.is_real)[:, None, None]
        wanted = PEAK * (batch.segmentation == OBJECT_LABEL)
        terms["object_map"] = masked_mean((outputs["object_map"] - wanted) ** 2, valid)
    return terms


def _class_loss(outputs: Outputs, batch: TorchBatch, model: ModelConfig, config: LossConfig) -> Tensor:
    classes, known = targets.token_classes(outputs, batch, model.heatmap_stride, config.match_radius_hm)
    logits = outputs["class_logits"]
    entropy = F.cross_entropy(logits.flatten(0, 2), classes.expand(logits.shape[:-1]).flatten(), reduction="none")
    mask = (known & batch.is_real[:, None]).expand(logits.shape[:-1]).flatten()
    return (entropy * mask).sum() / mask.sum().clamp(min=1)


def _hand_losses(outputs: Outputs, batch: TorchBatch, mask: Tensor, model: ModelConfig, config: LossConfig) -> Terms:
    if "axis_heatmaps" in outputs:
        wanted, valid = targets.axis_targets(batch, model, config.axis_sigma_bins)
        error = (outputs["axis_heatmaps"] - wanted) ** 2
        return {"axis_heatmaps": masked_mean(error, (valid * mask[:, None, None, None])[..., None])}
    vectors = outputs["bone_vectors_m"]
    bones = targets.bone_annotated(batch) * mask[:, None, None]
    error = MM * (vectors - targets.bone_vectors(batch.joints_cam_m)).abs()
    relative = batch.joints_cam_m - batch.joints_cam_m[..., WRIST:, :]
    joints = MM * (targets.accumulate_bones(vectors) - relative)[..., :WRIST, :].abs()
    rooted = batch.joint_annotated & batch.joint_annotated[..., WRIST:]
    valid = rooted[..., :WRIST] * mask[:, None, None]
    return {
        "bone_vectors": masked_mean(error, bones[..., None]),
        "root_relative_joints": masked_mean(joints, valid[..., None]),
    }


def _head_losses(outputs: Outputs, batch: TorchBatch, mask: Tensor) -> Terms:
    terms = {}
    if "joints_crop" in outputs:
        error = GRID_PX * (outputs["joints_crop"] - batch.joints_px / batch.image.shape[1]).abs()
        terms["joints_2d"] = masked_mean(error, (batch.joint_px_annotated * mask[:, None, None])[..., None])
    if "weak_camera" in outputs:
        terms |= _weak_camera_losses(outputs, batch, mask)
    shift = batch.root_cam_m[:, LEFT] - batch.root_cam_m[:, RIGHT]
    error = (outputs["relative_translation_m"] - shift).abs()
    terms["relative_translation"] = masked_mean(error, (batch.root_known.all(-1) * mask)[:, None])
    present = F.binary_cross_entropy_with_logits(
        outputs["hand_logits"], batch.hand_present.to(outputs["hand_logits"]), reduction="none"
    )
    terms["hand_type"] = masked_mean(present, (batch.hand_present_known * mask)[:, None])
    if "visibility_logits" in outputs:
        logits = outputs["visibility_logits"]
        visible = (batch.visibility == 1).to(logits).expand(logits.shape)
        error = F.binary_cross_entropy_with_logits(logits, visible, reduction="none")
        known = (batch.visibility >= 1) & (batch.visibility <= 4) & batch.joint_annotated
        terms["visibility"] = masked_mean(error, known * mask[:, None, None])
    return terms


def _weak_camera_losses(outputs: Outputs, batch: TorchBatch, mask: Tensor) -> Terms:
    wanted, known = targets.weak_camera(batch, GRID_PX)
    camera = outputs["weak_camera"]
    joints = targets.accumulate_bones(outputs["bone_vectors_m"])[..., :2]
    shift = torch.where(batch.root_known.all(-1)[:, None], outputs["relative_translation_m"][..., :2], 0.0)
    joints = joints + torch.stack([torch.zeros_like(shift), shift], 2)[:, :, :, None]
    projected = camera[..., None, None, :1] * joints + camera[..., None, None, 1:]
    error = (projected - batch.joints_px * (GRID_PX / batch.image.shape[1])).abs()
    valid = (batch.joint_annotated & batch.joint_annotated[..., WRIST:]) * mask[:, None, None]
    camera_error, camera_valid = (camera - wanted).abs(), (known * mask)[:, None]
    return {
        "weak_joints_2d": masked_mean(error, valid[..., None]),
        "weak_camera_scale": masked_mean(camera_error[..., :1], camera_valid),
        "weak_camera_translation": masked_mean(camera_error[..., 1:], camera_valid),
    }


def _object_losses(outputs: Outputs, batch: TorchBatch, mask: Tensor) -> Terms:
    translation = outputs["object_translation_m"]
    wanted, known = targets.object_translations(batch, translation.shape[2])
    error = (translation - wanted).abs()
    terms = {
        "object_translation": masked_mean(error, (known * mask[:, None])[..., None]),
        "object_corners": _corner_loss(outputs["object_rotation_6d"], translation, batch, mask),
    }
    if translation.shape[2] > 1:
        gap = outputs["relative_translation_m"] + translation[:, :, 1] - translation[:, :, 0]
        both = (batch.root_known.all(-1) & batch.object_known) * mask
        terms["object_triangle"] = masked_mean(gap.abs(), both[:, None])
    return terms


def _corner_loss(rotation_6d: Tensor, translation: Tensor, batch: TorchBatch, mask: Tensor) -> Tensor:
    corners = targets.corners_to_teach(batch)
    wanted_t, known = targets.object_translations(batch, translation.shape[2])
    first = torch.where(known[:, :1], wanted_t[:, 0], wanted_t[:, -1])
    chosen = torch.where(known[:, :1], translation[:, :, 0], translation[:, :, -1])
    posed = corners @ rotation_matrix(rotation_6d).transpose(-1, -2) + chosen[:, :, None]
    wanted = corners[:, None] @ targets.equivalent_rotations(batch).transpose(-1, -2) + first[:, None, None]
    error = MM * (posed[:, :, None] - wanted).abs().mean((-2, -1)).amin(-1)
    return masked_mean(error, known.any(-1) * mask)


def rotation_matrix(rotation_6d: Tensor) -> Tensor:
    """Return rotation matrices whose first two columns are the Gram-Schmidt form of the two given vectors."""
    first = F.normalize(rotation_6d[..., :3], dim=-1)
    second = rotation_6d[..., 3:]
    second = F.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)
