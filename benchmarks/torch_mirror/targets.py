"""What the network is taught, as `occrobnet_jax.training.targets`, from the same fields of a batch."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from occrobnet_jax.geometry.kinematics import PARENTS_OF_BONES
from occrobnet_jax.geometry.symmetry import OBJECT_SYMMETRY
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.skeleton import LEFT, NUM_HANDS, NUM_JOINTS, RIGHT, WRIST
from occrobnet_jax.training.targets import OBJECT_LABEL, PEAK, RIDGE
from occrobnet_jax.types import Batch

TorchBatch = SimpleNamespace
"""The fields of `types.Batch` as tensors."""

PARENTS = torch.from_numpy(PARENTS_OF_BONES)
HALF_TURNS = torch.diag_embed(torch.tensor([[1.0, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]))


def torch_batch(batch: Batch, device: torch.device | str = "cpu") -> TorchBatch:
    """Return a batch of ours in PyTorch, numbers with fractions in its default precision."""
    tensors = {name: torch.from_numpy(np.array(value)).to(device) for name, value in vars(batch).items()}
    precision = torch.get_default_dtype()
    return SimpleNamespace(**{name: x.to(precision) if x.is_floating_point() else x for name, x in tensors.items()})


def fully_annotated(batch: TorchBatch) -> Tensor:
    """Return the examples in which every hand that is there has all its joints."""
    any_joint, all_joints = batch.joint_px_annotated.any(-1), batch.joint_px_annotated.all(-1)
    present = any_joint | batch.hand_present
    return any_joint.any(-1) & (all_joints | ~present).all(-1)


def joint_heatmap(batch: TorchBatch, stride: int, size: int, sigma_hm: float) -> Tensor:
    """Return the sum of one Gaussian a joint inside the crop."""
    xy = (batch.joints_px / stride).flatten(1, 2)
    valid = batch.joint_in_crop.flatten(1)
    across = gaussian(xy[..., 0], size, sigma_hm) * valid[..., None]
    return PEAK * gaussian(xy[..., 1], size, sigma_hm).transpose(1, 2) @ across


def bone_annotated(batch: TorchBatch) -> Tensor:
    """Return the bones of which both joints are annotated."""
    return batch.joint_annotated[..., :WRIST] & batch.joint_annotated[..., PARENTS.to(batch.joint_annotated.device)]


def axis_targets(batch: TorchBatch, config: ModelConfig, sigma_bins: float) -> tuple[Tensor, Tensor]:
    """Return 1D heatmaps of x, y and parent-relative depth, and which of them are taught."""
    depth_m = torch.nn.functional.pad(bone_vectors(batch.joints_cam_m)[..., 2], (0, 1))
    depth_bin = (depth_m / config.depth_range_m + 1) / 2 * config.bins
    positions = torch.cat([batch.joints_px * (config.bins / batch.image.shape[1]), depth_bin[..., None]], -1)
    with_parent = torch.nn.functional.pad(bone_annotated(batch), (0, 1))
    within = (positions >= 0) & (positions < config.bins)
    inside = within[..., :2].all(-1) & (within[..., 2] | ~with_parent) & batch.joint_in_crop
    return gaussian(positions, config.bins, sigma_bins), torch.stack([inside, inside, inside & with_parent], -1)


def token_classes(
    outputs: dict[str, Tensor], batch: TorchBatch, stride: int, radius_hm: float
) -> tuple[Tensor, Tensor]:
    """Return the class of each token, and which tokens teach."""
    joints_hm = (batch.joints_px / stride).flatten(1, 2)
    candidates = batch.joint_in_crop.flatten(1)
    distance = ((outputs["xy_hm"][:, :, None] - joints_hm[:, None]) ** 2).sum(-1)
    match = (distance <= radius_hm**2) & candidates[:, None]
    depth = batch.joints_cam_m[..., 2].flatten(1)[:, None]
    nearest = torch.where(match, depth, torch.inf).argmin(-1)
    joint_class = torch.where(match.any(-1), nearest + 1, 0)
    height, width = batch.segmentation.shape[1:]
    x, y = outputs["xy_hm"].round().long().unbind(-1)
    labels = batch.segmentation.flatten(1).gather(1, y.clamp(0, height - 1) * width + x.clamp(0, width - 1))
    object_class = torch.where(labels == OBJECT_LABEL, NUM_HANDS * NUM_JOINTS + 1, 0)
    known_joint = match.any(-1) | fully_annotated(batch)[:, None]
    is_object = outputs["is_object"]
    known = torch.where(is_object, batch.segmentation_known[:, None], known_joint)
    return torch.where(is_object, object_class, joint_class), outputs["valid"] & known


def weak_camera(batch: TorchBatch, grid_px: float) -> tuple[Tensor, Tensor]:
    """Scale and translation that fit root-relative x, y to the 2D joints best (ridge)."""
    roots, has_root = batch.root_cam_m, batch.joint_annotated[:, :, WRIST]
    origin = torch.where(has_root[:, :1], roots[:, RIGHT], roots[:, LEFT])
    xy = (batch.joints_cam_m - origin[:, None, None])[..., :2].flatten(1, 2)
    px = (batch.joints_px * (grid_px / batch.image.shape[1])).flatten(1, 2)
    valid = (batch.joint_annotated & has_root[..., None]).flatten(1)
    weight = valid.to(xy)[..., None]
    zeros, ones = torch.zeros_like(xy[..., 0]), torch.ones_like(xy[..., 0])
    rows = [torch.stack(row, -1) * weight for row in ((xy[..., 0], ones, zeros), (xy[..., 1], zeros, ones))]
    matrix, values = torch.cat(rows, 1), torch.cat([px[..., 0], px[..., 1]], 1) * torch.cat([weight[..., 0]] * 2, 1)
    normal = matrix.transpose(1, 2) @ matrix + RIDGE * torch.eye(3).to(matrix)
    return torch.linalg.solve(normal, (matrix.transpose(1, 2) @ values[..., None]))[..., 0], valid.any(-1)


def object_translations(batch: TorchBatch, heads: int) -> tuple[Tensor, Tensor]:
    """Return the object relative to the wrists, and where it is taught."""
    relative = batch.object_translation_m[:, None] - batch.root_cam_m
    known = batch.root_known & batch.object_known[:, None]
    if heads == NUM_HANDS:
        return relative, known
    reference = torch.where(known[:, :1], relative[:, RIGHT], relative[:, LEFT])
    return reference[:, None], known.any(-1, keepdim=True)


def equivalent_rotations(batch: TorchBatch) -> Tensor:
    """Return the ground-truth rotations that the object's discrete symmetry makes the same."""
    symmetry = batch.object_symmetry[:, None]
    turn = torch.arange(len(HALF_TURNS), device=symmetry.device)[None]
    allowed = (turn == 0) | ((symmetry == _id("half_turn_z")) & (turn == 1)) | (symmetry == _id("box"))
    turned = batch.object_rotation[:, None] @ HALF_TURNS.to(batch.object_rotation)
    return torch.where(allowed[..., None, None], turned, batch.object_rotation[:, None])


def corners_to_teach(batch: TorchBatch) -> Tensor:
    """Return the rest corners, reduced to what a continuous symmetry leaves."""
    keep, along_z = (torch.tensor([[x, x, 1.0]]).to(batch.object_corners_rest_m) for x in (1.0, 0.0))
    keep = torch.where((batch.object_symmetry == _id("any_turn_z"))[:, None], along_z, keep)
    keep = torch.where((batch.object_symmetry == _id("sphere"))[:, None], 0.0, keep)
    return batch.object_corners_rest_m * keep[:, None]


def bone_vectors(joints: Tensor) -> Tensor:
    """Return the vector from the parent to the child of each bone."""
    return joints[..., :WRIST, :] - joints[..., PARENTS.to(joints.device), :]


def accumulate_bones(vectors: Tensor) -> Tensor:
    """Return joints relative to the wrist from parent-to-child vectors."""
    fingers = vectors.unflatten(-2, (5, 4))
    joints = fingers.flip(-2).cumsum(-2).flip(-2).flatten(-3, -2)
    return torch.cat([joints, torch.zeros_like(joints[..., :1, :])], -2)


def gaussian(center: Tensor, size: int, sigma: float) -> Tensor:
    """Return a Gaussian with peak 1 around each centre, along a new last axis."""
    return torch.exp(-((torch.arange(size, device=center.device) - center[..., None]) ** 2) / (2 * sigma**2))


def _id(name: str) -> int:
    return OBJECT_SYMMETRY.index(name)
