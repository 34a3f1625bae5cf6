"""Greedy non-maximum suppression for a whole batch, as `occrobnet_jax.models.keypoints`."""

import torch
from torch import Tensor

from occrobnet_jax.models.config import ModelConfig


@torch.compiler.disable
@torch.no_grad()
def select_keypoints(heatmap: Tensor, object_map: Tensor | None, config: ModelConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Return the positions in heatmap pixels, b t 2, which slots hold one, and which are the object's.

    A loop whose length depends on nothing, but that torch.compile would unroll a hundredfold: it stays eager.
    """
    radius = config.suppression_radius_hm
    xy, valid = greedy_peaks(heatmap, config.joint_threshold, radius, config.max_joint_keypoints, config.min_keypoints)
    is_object = torch.zeros_like(valid)
    if object_map is None:
        return xy, valid, is_object
    xy2, valid2 = greedy_peaks(object_map, config.object_threshold, radius, config.max_object_keypoints)
    is_object = torch.cat([is_object, torch.ones_like(valid2)], 1)
    return torch.cat([xy, xy2], 1), torch.cat([valid, valid2], 1), is_object


def greedy_peaks(
    heatmap: Tensor, threshold: float, radius: float, max_peaks: int, min_peaks: int = 0
) -> tuple[Tensor, Tensor]:
    """Return the strongest pixel above the threshold, then the next outside its disc, and so on."""
    batch, height, width = heatmap.shape
    reach = int(radius)
    padded = torch.full((batch, height + 2 * reach, width + 2 * reach), -torch.inf).to(heatmap)
    padded[:, reach : reach + height, reach : reach + width] = heatmap
    stride = width + 2 * reach
    flat = padded.flatten(1)
    dy, dx = torch.meshgrid(*[torch.arange(-reach, reach + 1)] * 2, indexing="ij")
    disc = (dy * stride + dx)[dy**2 + dx**2 <= radius**2].to(heatmap.device)
    xy, valid = (torch.zeros(batch, max_peaks, *more, device=heatmap.device) for more in ((2,), ()))
    valid = valid.bool()
    for i in range(max_peaks):
        strength, index = flat.max(1)
        good = (strength > threshold) | ((i < min_peaks) & strength.isfinite())
        if heatmap.device.type == "cpu" and not good.any():  # elsewhere the host would wait for each answer
            break
        place = torch.stack([index % stride - reach, index // stride - reach], -1).to(xy)
        xy[:, i], valid[:, i] = torch.where(good[:, None], place, 0.0), good
        flat.scatter_(1, (index[:, None] + disc).clamp(0, flat.shape[1] - 1), -torch.inf)
    return xy, valid
