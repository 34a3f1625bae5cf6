"""Every choice of the network, as one frozen record.

The defaults follow the paper's description; what the paper does not publish is our choice, marked [ours], or taken
from its two parents, marked [KypT] (Keypoint Transformer) and [FIT] (HandOccNet's feature injection). Distances
called `_hm` are in heatmap pixels, of which the default network has 128 across the crop.
"""

import dataclasses
from typing import Literal

from occrobnet_jax.choices import check_choices
from occrobnet_jax.models.remat import Remat
from occrobnet_jax.skeleton import NUM_HANDS, NUM_JOINTS


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Fields of `config.model`.

    Raises:
        ValueError: two fields contradict each other.
    """

    # --- Input and backbone
    input_normalisation: Literal["imagenet", "unit", "lite"] = "imagenet"  # "unit": [0, 1] as KypT's weights want it;
    # "lite": (value - 127) / 128 as EfficientNet-Lite's do [ours]
    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101", "efficientnet_lite0"] = "resnet50"
    backbone_width: int = 64  # scales all channels; 64 is the published network, and a ResNet's stem has so many
    stem: Literal["7x7", "3x3"] = "7x7"  # of a ResNet
    backbone_weights: str = ""  # .pth or .safetensors from ImageNet, that a new run starts with: docs/recipes.md
    batch_norm: Literal["trained", "affine_frozen", "frozen", "all_frozen"] = "trained"  # of the backbone; statistics
    # are those of the whole global batch, or microbatch. "affine_frozen": scale and offset keep their pretrained values
    # [KypT]; "frozen": the statistics too; "all_frozen": and those of neck and CIET, for fine-tuning with small batches
    batch_norm_momentum: float = 0.9  # torch's 0.1
    frozen_stages: Literal[0, 1, 2, 3, 4] = 0  # of the backbone's five maps, finest first, so many keep what makes them
    # as it is: their gradient, the costliest on CPUs, isn't computed (the name is MMDetection's)

    # --- Neck and the maps read off it
    neck: Literal["fpn", "unet", "unet_big"] = "fpn"  # the two U-Nets are KypT's decoders
    neck_channels: int = 256
    neck_init_std: float = 0.0  # of the U-Nets' and the map heads' convolutions; 0: He's [KypT: 0.001]
    heatmap_channels: int = 32  # of the finest level
    heatmap_stride: Literal[2, 4] = 2  # input px per heatmap px
    heatmap_gain: float = 1.0  # factor on the heads' outputs; 255 suits training from scratch [ours]
    hand_maps_head: bool = False  # the masks of the right and the left hand beside the object's [ours]
    joint_maps_head: bool = False  # a map of each joint of each hand beside that of all joints [ours]
    finder_head: bool = False  # where the hands of a whole photo are, see models/finder.py [ours]
    localise_from: Literal["fpn", "ciet"] = "fpn"  # whether heatmaps see the features before or after CIET [ours]

    # --- Contextual Information Enhancement Transformer
    ciet: Literal["dual", "softmax", "sigmoid", "pointwise", "off"] = "dual"  # "pointwise": dual's parameters and
    # FLOPs, but each position is by itself, a control [ours]
    ciet_on: Literal["map", "tokens"] = "map"  # of the pyramid, before localisation; or the tokens that it took [ours]
    ciet_gate: Literal["sum", "mean", "elementwise"] = "sum"  # over keys, before the sigmoid [FIT: sum]
    ciet_qk_norm: bool = False  # whether queries and keys, of softmax and gate, have one length (ViT-22B, arXiv
    # 2302.05442), so that logits stay within +-sqrt(head's width) [ours]; without it Muon saturates every gate
    ciet_blocks: int = 2  # [FIT]
    ciet_query_block: int = 0  # queries whose weights are held at a time; 0: as suits the platform
    ciet_heads: int = 4  # [FIT]
    ciet_mlp_ratio: int = 4  # [FIT]
    ciet_stride: Literal[8, 16] = 8  # input px per token; 8 gives 32 x 32 tokens at 256 px
    ciet_self_enhancing_blocks: int = 0  # HandOccNet's SET; whether the paper has it is unknown
    ciet_init_std: float = 0.001  # of its projections; larger values saturate the summed gates [FIT]
    ciet_mlp_init_std: float = 0.001  # of its MLPs [FIT: 0.01]
    ciet_merge_init_std: float = 0.0  # of the convolutions that merge evidence and context; 0: He's [FIT: 0.001]
    ciet_position_std: float = 0.02  # of its position maps [ours]

    # --- Keypoints [KypT]
    keypoints: Literal["peaks", "joints"] = "peaks"  # of one map of all joints; or one for each joint, seen or hidden,
    # where its own map has it, with an embedding that says which it is [ours]
    with_object: bool = True
    max_joint_keypoints: int = 50  # 100 without object
    max_object_keypoints: int = 50  # 0 without object
    joint_threshold: float = 20.0  # of 255
    object_threshold: float = 15.0
    suppression_radius_hm: float = 5.0
    min_keypoints: int = 0  # where fewer pass the threshold, the strongest are taken all the same [ours]

    # --- Tokens, encoder, decoder [KypT]
    width: int = 256  # of tokens
    position_width: int = 32  # of it, the position code
    token_mlp: tuple[int, ...] = (1024, 512, 256)  # hidden layers; the last is width - position_width
    object_token_mlp: tuple[int, ...] = (512, 256, 256)
    heads: int = 8
    feed_forward: int = 2048
    dropout: float = 0.1
    encoder_layers: int = 6
    decoder_start: Literal["zeros", "tokens"] = "zeros"  # of a joint's query [KypT]; or its own token, with
    # keypoints="joints" [ours]
    decoder_layers: int = 1  # KypT: 1 for InterHand2.6M and H2O-3D, 6 for HO-3D
    class_mlp: tuple[int, ...] = (256, 256, 256)
    token_classifier: Literal["joint_of_hand", "joint_and_hands"] = "joint_of_hand"  # one softmax over all joints of
    # both hands [KypT]; or a softmax over joints and a sigmoid for each hand, so that a token may belong to both [ours]
    head_mlp: tuple[int, ...] = (256, 256)

    # --- Memory
    remat: Remat = "off"  # what the backward pass computes again to save memory: see models/remat.py

    # --- Pose
    representation: Literal["2.5d", "vectors", "angles"] = "vectors"
    bins: int = 128  # of the 2.5D axis heatmaps
    depth_range_m: float = 0.15  # of a parent-relative depth, to either side
    axis_decoding: Literal["argmax", "soft_argmax"] = "argmax"  # soft_argmax: sub-bin [ours]
    hand_model: str = ""  # of "angles": folder of MANO_RIGHT.pkl and MANO_LEFT.pkl; "" is the embedded hand
    hand_joints: Literal["manopth", "smplx", "interhand"] = "manopth"  # which of MANO's points are the joints, see
    # mano_model.JOINTS; datasets differ [KypT: interhand]
    rotation_form: Literal["6d", "axis_angle", "axis_angle_from_mean"] = "6d"  # of "angles": 6D about the identity
    # [ours]; axis-angle, its fingers from the flat hand or from MANO's mean pose [KypT]
    joints_2d_head: bool = True  # 2D joints beside vectors or angles, for absolute depth and overlays [ours]
    weak_camera_head: bool = True  # [KypT]
    visibility_head: bool = True  # [ours]
    hand_presence: Literal["head", "maps", "tokens"] = "head"  # what says which hands are there. "maps": the head, and
    # which hand's joint maps are the surer ones [ours]; "tokens": how many keypoints are identified as a hand's joints
    # [ours]; KypT's files need it, their head was trained with weight 0
    left_object_translation: bool = False  # the object relative to the left wrist too; else to the right one only,
    # or to the left one where there is no right hand [KypT on H2O-3D]

    def __post_init__(self) -> None:
        check_choices(self, "model")
        self._check_backbone()
        self._check_keypoints()
        if self.neck != "fpn" and self.ciet != "off":
            raise ValueError(f"model.neck={self.neck!r} (Keypoint Transformer's) has no CIET; set model.ciet='off'")
        if self.ciet == "pointwise" and self.ciet_self_enhancing_blocks:
            raise ValueError(
                "model.ciet='pointwise' leaves each position by itself; set model.ciet_self_enhancing_blocks=0"
            )
        if self.neck != "fpn" and self.heatmap_stride != 2:
            raise ValueError(f"model.neck={self.neck!r} makes heatmaps of stride 2, not {self.heatmap_stride}")
        if self.ciet_on == "tokens" and self.localise_from == "ciet":
            raise ValueError(
                "model.localise_from='ciet' needs the enhanced map, which model.ciet_on='tokens' doesn't make; set "
                "model.localise_from='fpn'"
            )
        if self.ciet_qk_norm and self.ciet_gate == "sum":
            raise ValueError(
                "model.ciet_qk_norm=True bounds the product with one key, and model.ciet_gate='sum' adds up those with "
                "all of them; set model.ciet_gate to 'mean' or 'elementwise'"
            )
        if self.ciet_query_block < 0:
            raise ValueError(f"model.ciet_query_block={self.ciet_query_block} must be 0 (automatic) or more")
        if self.finder_head and self.neck != "fpn":
            raise ValueError(f"model.finder_head reads the feature pyramid; model.neck={self.neck!r} has none")
        if self.width % self.heads:
            raise ValueError(f"model.width={self.width} must be a multiple of model.heads={self.heads}")
        if self.rotation_form == "axis_angle_from_mean" and not self.hand_model:
            raise ValueError(
                "model.rotation_form='axis_angle_from_mean' is of MANO's mean pose; set model.hand_model to the folder "
                "of your MANO files"
            )
        if self.position_width % 4 or self.position_width >= self.width:
            raise ValueError(
                f"model.position_width={self.position_width} must be a multiple of 4 (sine and cosine of x and y) "
                f"below model.width={self.width}"
            )

    def _check_backbone(self) -> None:
        if self.backbone == "efficientnet_lite0" and self.backbone_weights and self.input_normalisation != "lite":
            raise ValueError(
                f"model.backbone_weights={self.backbone_weights!r} of EfficientNet-Lite were trained on (value - 127) "
                f"/ 128; set model.input_normalisation='lite' instead of {self.input_normalisation!r}"
            )
        if self.frozen_stages and not self.backbone_norm_is_frozen:
            raise ValueError(
                f"model.frozen_stages={self.frozen_stages} needs their statistics frozen as well; set "
                f"model.batch_norm='frozen' instead of {self.batch_norm!r}"
            )

    def _check_keypoints(self) -> None:
        if self.max_joint_keypoints < 42:
            raise ValueError(f"model.max_joint_keypoints={self.max_joint_keypoints} must be at least 42, one a joint")
        if self.keypoints == "joints" and not self.joint_maps_head:
            raise ValueError("model.keypoints='joints' are read off maps of each joint; set model.joint_maps_head=True")
        if self.hand_presence == "maps" and not self.joint_maps_head:
            raise ValueError("model.hand_presence='maps' needs maps of each joint; set model.joint_maps_head=True")
        if self.keypoints == "joints" and self.max_joint_keypoints != NUM_HANDS * NUM_JOINTS:
            raise ValueError(
                f"model.max_joint_keypoints={self.max_joint_keypoints} must be 42 with model.keypoints='joints', one a "
                "joint"
            )
        if self.decoder_start == "tokens" and (self.keypoints != "joints" or self.representation == "angles"):
            raise ValueError(
                "model.decoder_start='tokens' needs a token and a query for each joint: model.keypoints='joints' and "
                f"model.representation='vectors' or '2.5d', not {self.keypoints!r} and {self.representation!r}"
            )

    @property
    def backbone_norm_is_frozen(self) -> bool:
        """Whether the backbone normalises with its running statistics in training too."""
        return self.batch_norm in ("frozen", "all_frozen")

    @property
    def num_classes(self) -> int:
        """Classes of a token: none, the joints (of each hand, or of any), and the object where there is one."""
        joints = NUM_JOINTS if self.token_classifier == "joint_and_hands" else NUM_HANDS * NUM_JOINTS
        return 1 + joints + self.with_object
