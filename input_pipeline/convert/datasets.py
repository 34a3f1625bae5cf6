"""The datasets that `prepare` converts: one table of what each is called, which options it takes, and its source."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from input_pipeline.convert.custom import CustomDataset
from input_pipeline.convert.hint import HInt
from input_pipeline.convert.ho3d.h2o3d import H2O3D
from input_pipeline.convert.ho3d.ho3d import HO3D, VERSIONS
from input_pipeline.convert.interhand26m.layout import FRAME_RATES, SUBSETS, dataset_name
from input_pipeline.convert.interhand26m.source import InterHand26M
from input_pipeline.convert.occlusion import Occlusion
from input_pipeline.convert.publish import work_dir
from input_pipeline.convert.sources import Source
from input_pipeline.synthetic.matched_arms import SyntheticOcclusion
from input_pipeline.synthetic.photos import SyntheticPhotos
from input_pipeline.synthetic.source import SPLITS, SyntheticHands
from occrobnet_jax.files.paths import local_path_argument


class Dataset(NamedTuple):
    """What the command knows of a dataset."""

    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    source: Callable[[argparse.Namespace], Source]
    prepared_name: Callable[[argparse.Namespace], str] = lambda options: options.dataset


def index_folder(options: argparse.Namespace) -> Path:
    """Return where tables are kept until the dataset is there, so that a resumed run finds them."""
    return work_dir(options.data_dir) / f"{prepared_name(options)}.index"


def prepared_name(options: argparse.Namespace) -> str:
    """Return the name of the prepared dataset."""
    return DATASETS[options.dataset].prepared_name(options)


def _embedded(kind: type[SyntheticHands], words: str) -> Dataset:
    """Return the entry of a dataset that is generated; its defaults are those of the source."""

    def add_options(parser: argparse.ArgumentParser) -> None:
        source = kind()
        for split, count in source.splits.items():
            parser.add_argument(f"--{split}", type=positive, default=count, help=f"number of {split} examples")
        parser.add_argument("--image_size_px", type=positive, default=source.image_size_px)
        parser.add_argument("--seed", type=int, default=source.seed)
        kinds = tuple(dict.fromkeys(source.kinds))
        parser.add_argument("--kinds", nargs="+", choices=kinds, help=f"of the scenes, by turns; {' '.join(kinds)}")

    def source(options: argparse.Namespace) -> Source:
        counts = {split: getattr(options, split) for split in SPLITS}
        kinds = tuple(options.kinds or kind().kinds)
        return kind(counts, options.image_size_px, options.seed, kinds=kinds)

    return Dataset(words, add_options, source)


def _raw_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--raw", type=local_path_argument, help="folder of the unpacked archives, or of your own dataset"
    )


def _mano_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mano", type=local_path_argument, help="folder with MANO_RIGHT.pkl and MANO_LEFT.pkl")


def _interhand_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fps", type=int, choices=FRAME_RATES, default=5, help="which of the two image sets")
    parser.add_argument("--subset", choices=SUBSETS, default="all", help="all = H+M, human = H, machine = M")
    parser.add_argument(
        "--ids", type=local_path_argument, help="folder with aid_human_annot_*.txt, for --subset on v1.0"
    )
    _mano_option(parser)
    _raw_option(parser)


def _interhand(options: argparse.Namespace) -> Source:
    return InterHand26M(
        options.raw,
        index_folder(options),
        fps=options.fps,
        subset=options.subset,
        ids=options.ids,
        mano=options.mano,
        show_progress=True,
    )


def _object_options(parser: argparse.ArgumentParser) -> None:
    _mano_option(parser)
    parser.add_argument(
        "--object_models", type=local_path_argument, help="folder with 003_cracker_box.obj, or such folders"
    )
    _raw_option(parser)


def _occlusion(options: argparse.Namespace) -> Occlusion | None:
    return Occlusion(options.mano, options.object_models) if options.mano else None


def _ho3d_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--version", choices=VERSIONS, required=True)
    _object_options(parser)


def _custom_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow_links", action="store_true", help="photos may be links that lead out of the folder")
    _raw_option(parser)


def positive(text: str) -> int:
    """Return a whole number from 1 that the command line has."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} must be at least 1")
    return number


DATASETS = {
    "synthetic_hands": _embedded(SyntheticHands, "the embedded dataset, generated here"),
    "synthetic_hands_v2": _embedded(SyntheticPhotos, "hands as photos show them, generated here"),
    "synthetic_occlusion": _embedded(
        SyntheticOcclusion, "the same scenes with and without what hides the hands, generated here"
    ),
    "interhand26m": Dataset(
        "InterHand2.6M from its official tree",
        _interhand_options,
        _interhand,
        lambda options: dataset_name(options.fps, options.subset),
    ),
    "ho3d": Dataset(
        "HO-3D from its official tree; becomes ho3d_v2 or ho3d_v3",
        _ho3d_options,
        lambda options: HO3D(options.raw, options.version, _occlusion(options)),
        lambda options: f"ho3d_{options.version}",
    ),
    "h2o3d": Dataset(
        "H2O-3D v1 from its official tree", _object_options, lambda options: H2O3D(options.raw, _occlusion(options))
    ),
    "hint": Dataset(
        "HInt: 2D keypoints in the wild, visible and occluded", _raw_option, lambda options: HInt(options.raw)
    ),
    "custom": Dataset(
        "a dataset of your own, see docs/custom_dataset.md",
        _custom_options,
        lambda options: CustomDataset(options.raw, follow_links=options.follow_links),
    ),
}
