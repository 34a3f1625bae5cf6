"""Published numbers, under the names of our conventions where it is known which one they follow.

`sure` says where a number was read: in the authors' own words or code, in another paper's table, or in a summary.
A number whose convention, data version or both are unknown is kept, too, so that the reason can be given.
"""

import dataclasses
from collections.abc import Mapping

OWN, TABLE, SUMMARY = "the authors'", "another paper's table", "a summary; not verified"


@dataclasses.dataclass(frozen=True)
class Published:
    """One row of a table."""

    benchmark: str
    method: str
    source: str
    sure: str
    protocol: str  # "" where it isn't stated
    version: str  # of the dataset, "" where it isn't stated
    split: str
    num_examples: int  # 0 where it depends on the version
    numbers: Mapping[str, float]
    remark: str = ""


def _interhand(
    method: str, source: str, sure: str, protocol: str, version: str, single: float, interacting: float, both: float,
    *, mrrpe: float | None = None, remark: str = "",
) -> Published:  # fmt: skip
    kinds = {"single": single, "interacting": interacting, "all": both}
    numbers = {f"mpjpe_mm/{kind}": value for kind, value in kinds.items()}
    if mrrpe is not None:
        numbers["mrrpe_mm/regressed" if "/kypt" in protocol else "mrrpe_mm/rebuilt"] = mrrpe
    name = protocol and f"interhand26m/{protocol}"
    return Published("interhand26m", method, source, sure, name, version, "test", 0, numbers, remark)


def _two_hand_mesh(method: str, joints: float, vertices: float, interacting: float, single: float) -> Published:
    numbers = {
        "mpjpe_mm/all": joints,
        "mpvpe_mm/all": vertices,
        "mpjpe_mm/interacting": interacting,
        "mpjpe_mm/single": single,
    }
    source = "table of A2P (arXiv 2503.17788)"
    remark = "the table says 5 fps, and no version"
    return Published(
        "interhand26m", method, source, TABLE, "interhand26m/two_hand_mesh", "", "test", 0, numbers, remark
    )


_HO3D_NUMBERS = (
    *("auc_0_50mm/procrustes", "mpjpe_mm/procrustes", "mesh_auc_0_50mm/procrustes", "mpvpe_mm/procrustes"),
    *("f_score_5mm/procrustes", "f_score_15mm/procrustes", "mpjpe_mm/scale_translation"),
)


def _ho3d_v2(method: str, *values: float | None) -> Published:
    """Return a row of numbers in the order of `_HO3D_NUMBERS`; None for what isn't reported."""
    padded = (*values, *(None,) * (len(_HO3D_NUMBERS) - len(values)))
    numbers = {name: value for name, value in zip(_HO3D_NUMBERS, padded, strict=True) if value is not None}
    source = "tables of WiLoR and Keypoint-Fusion"
    return Published("ho3d_v2", method, source, TABLE, "ho3d_v2/official", "", "evaluation", 11_524, numbers)


PUBLISHED = (
    _interhand("InterNet (2020)", "A2J-Transformer, table 2", TABLE, "internet", "", 12.16, 16.02, 14.22),
    _interhand(
        *("InterNet re-trained", "mmpose 1.x, internet_interhand3d.md", OWN, "internet_gt_depth", "1.0"),
        *(9.69, 13.72, 11.86),
        mrrpe=29.27,
    ),
    _interhand("A2J-Transformer (2023)", "its table 2 and config", OWN, "internet_gt_depth", "", 8.10, 10.96, 9.63),
    _interhand(
        *("Keypoint Transformer (repository)", "README of kypt_transformer", OWN, "kypt", "0.0", 10.88, 14.16, 12.62),
        mrrpe=29.50,
        remark="its loader reads the withdrawn v0.0 layout",
    ),
    _interhand(
        *("Keypoint Transformer (paper)", "A2J-Transformer, table 2", TABLE, "kypt", "0.0", 10.99, 14.34, 12.78),
        remark="protocol and layout are presumed to be those of its repository",
    ),
    _interhand("Meng et al. (2022)", "A2J-Transformer, table 2", TABLE, "", "", 8.51, 13.12, 10.97),
    Published(
        *("interhand26m", "OccRobNet (2025)", "a published summary of arXiv 2503.21723", SUMMARY, "", "", "test", 0),
        {"mpjpe_mm/all": 11.43},
        "depth source, joints and data version are not stated",
    ),
    _two_hand_mesh("IntagHand", 9.95, 10.29, 10.27, 9.67),
    _two_hand_mesh("ACR", 8.09, 8.29, 9.08, 6.85),
    _two_hand_mesh("InterWild", 7.85, 8.16, 8.24, 6.72),
    _two_hand_mesh("InterHandGen", 7.50, 7.78, 8.13, 6.47),
    _two_hand_mesh("A2P (2026)", 5.36, 5.58, 5.93, 4.84),
    _ho3d_v2("Pose2Mesh", 0.754, 12.5, 0.749, 12.7, 0.441, 0.909),
    _ho3d_v2("ArtiBoost", 0.773, 11.4, 0.782, 10.9, 0.488, 0.944, 25.3),
    _ho3d_v2("I2L-MeshNet", 0.775, 11.2, 0.722, 13.9, 0.409, 0.932),
    _ho3d_v2("Hasson et al.", 0.780, 11.0, 0.777, 11.2, 0.464, 0.939),
    _ho3d_v2("Keypoint Transformer", 0.786, 10.8, None, None, None, None, 25.7),
    _ho3d_v2("Hampali et al. (2020)", 0.788, 10.7, 0.790, 10.6, 0.506, 0.942),
    _ho3d_v2("METRO", 0.792, 10.4, 0.779, 11.1, 0.484, 0.946, 28.9),
    _ho3d_v2("Liu et al.", 0.803, 9.9, 0.810, 9.5, 0.528, 0.956),
    _ho3d_v2("I2UV-HandNet", 0.804, 9.9, 0.799, 10.1, 0.500, 0.943),
    _ho3d_v2("MobRecon", None, 9.2, None, 9.4, 0.538, 0.957),
    _ho3d_v2("HandOccNet", 0.819, 9.1, 0.819, 8.8, 0.564, 0.963, 24.0),
    _ho3d_v2("AMVUR", 0.835, 8.3, 0.836, 8.2, 0.608, 0.965),
    _ho3d_v2("HaMeR", 0.846, 7.7, 0.841, 7.9, 0.635, 0.980),
    _ho3d_v2("WiLoR", 0.851, 7.5, None, 7.7, 0.646, 0.983),
    Published(
        *("ho3d_v3", "MaskHand", "summary of its table", SUMMARY, "ho3d_v3/official", "", "evaluation", 20_137),
        dict(zip(_HO3D_NUMBERS[:2] + _HO3D_NUMBERS[4:6], (0.86, 7.0, 0.663, 0.984), strict=True)),
    ),
    Published(
        *("ho3d_v2", "OccRobNet (2025)", "a published summary of arXiv 2503.21723", SUMMARY, "", "", "evaluation", 0),
        {"mpjpe_mm/procrustes or mpjpe_mm/scale_translation": 11.4},
        "HO-3D, 1.14 cm; its alignment is not stated",
    ),
    Published(
        *("h2o3d", "OccRobNet (2025)", "a published summary of arXiv 2503.21723", SUMMARY, "", "", "evaluation", 0),
        {"mpjpe_mm": 28.6},
        "H2O-3D, 2.86 cm; scored by a server whose alignment is not published",
    ),
)
