"""How many examples the datasets' authors publish; sources of the numbers stand in docs/datasets.md."""

Counts = dict[str, dict[str, int]]
"""By split; "train+val" is the sum of two. "two_hands" are InterHand2.6M's interacting hands."""

INTERHAND26M_5FPS: dict[str, Counts] = {
    "all": {
        "train": {"examples": 1_361_062, "two_hands": 673_514},
        "val": {"examples": 380_125, "two_hands": 145_942},
        "test": {"examples": 849_160, "two_hands": 360_192},
    },
    "human": {"train": {"examples": 528_482}, "test": {"examples": 121_573}},
    "machine": {"train": {"examples": 909_037}, "val": {"examples": 380_125}, "test": {"examples": 727_587}},
}
HO3D: dict[str, Counts] = {
    "v2": {"train+val": {"examples": 66_034}, "evaluation": {"examples": 11_524}},
    "v3": {"train+val": {"examples": 83_325}, "evaluation": {"examples": 20_137}},
}
H2O3D: Counts = {"train+val": {"examples": 60_998}, "evaluation": {"examples": 15_342}}
