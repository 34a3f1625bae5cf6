"""What is read off queries, tokens and backbone, as `occrobnet_jax.models.heads`."""

import torch
from torch import Tensor, nn

from benchmarks.torch_mirror.layers import Mlp
from occrobnet_jax.models.config import ModelConfig
from occrobnet_jax.models.queries import QueryLayout
from occrobnet_jax.skeleton import NUM_HANDS


class ClassHead(nn.Module):
    """Which joint of which hand a token is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.mlp = Mlp([config.width, *config.class_mlp, config.num_classes])

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits of every encoder layer."""
        return self.mlp(self.norm(tokens))


class HandHead(nn.Module):
    """Which hands are in the picture."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = Mlp([channels, channels // 4, NUM_HANDS])

    def forward(self, last_map: Tensor) -> Tensor:
        """Return the logits (right, left)."""
        return self.mlp(last_map.mean((2, 3)))


class PoseHeads(nn.Module):
    """Hand pose, relative translation, object pose and visibility from the queries of every decoder layer."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config, self.layout = config, QueryLayout.of(config)
        self.is_2_5d = config.representation == "2.5d"
        for name, features in self._features().items():
            self.add_module(name, Mlp([config.width, *config.head_mlp, features]))

    def _features(self) -> dict[str, int]:
        config = self.config
        heads = {"relative_translation": 3}
        heads |= {f"heatmap_{axis}": config.bins for axis in ("x", "y", "depth")} if self.is_2_5d else {"vectors": 3}
        if not self.is_2_5d and config.joints_2d_head:
            heads |= {"joints_2d": 2, "joints_2d_wrist": 2 * NUM_HANDS}
        if not self.is_2_5d and config.weak_camera_head:
            heads["weak_camera"] = 3
        if config.with_object:
            heads |= {"object_rotation": 6, "object_translation": 3}
            heads |= {"object_left_translation": 3} if config.left_object_translation else {}
        if config.visibility_head:
            heads |= {"visibility": 1} | ({} if self.is_2_5d else {"visibility_wrist": NUM_HANDS})
        return heads

    def forward(self, decoded: Tensor) -> dict[str, Tensor]:
        """Return the fields of Predictions that come from queries; only those that there are."""
        layout, made = self.layout, self._features()
        joints, camera = decoded[:, :, layout.joints], decoded[:, :, layout.camera]
        outputs = {"relative_translation_m": self.relative_translation(camera)}
        if self.is_2_5d:
            maps = torch.stack([self.heatmap_x(joints), self.heatmap_y(joints), self.heatmap_depth(joints)], 3)
            outputs["axis_heatmaps"] = maps.unflatten(2, (NUM_HANDS, -1))
        else:
            outputs["bone_vectors_m"] = self.vectors(joints).unflatten(2, (NUM_HANDS, -1))
        if "joints_2d" in made:
            outputs["joints_crop"] = 0.5 + self._per_joint("joints_2d", joints, camera, 2)
        if "weak_camera" in made:
            outputs["weak_camera"] = self.weak_camera(camera)
        if "object_rotation" in made:
            outputs["object_rotation_6d"] = self.object_rotation(decoded[:, :, layout.object_rotation])
            query = decoded[:, :, layout.object_translation]
            names = [name for name in ("object_translation", "object_left_translation") if name in made]
            outputs["object_translation_m"] = torch.stack([getattr(self, name)(query) for name in names], 2)
        if "visibility" in made:
            outputs["visibility_logits"] = self._per_joint("visibility", joints, camera, 1)[..., 0]
        return outputs

    def _per_joint(self, name: str, joints: Tensor, camera: Tensor, features: int) -> Tensor:
        per_joint = getattr(self, name)(joints).unflatten(2, (NUM_HANDS, -1))
        if self.is_2_5d:
            return per_joint
        wrists = getattr(self, f"{name}_wrist")(camera).unflatten(-1, (NUM_HANDS, 1, features))
        return torch.cat([per_joint, wrists], 3)
