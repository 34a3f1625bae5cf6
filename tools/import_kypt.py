"""Turns a file of Keypoint Transformer's into a checkpoint of ours: python -m tools.import_kypt FILE --workdir DIR.

FILE is a released snapshot (.pth.tar) for InterHand2.6M (2.5D or angles), HO-3D or H2O-3D; what kind it is is told by
its names. The angles kind poses MANO's hands and needs --mano, the folder of your MANO files. No code in FILE is run,
and PyTorch is not needed. Then, with the dataset prepared in data/,

    python eval.py --config=configs/workdir.py:DIR --workdir=DIR --config.data.data_dir=data --split=test
    python predict.py photo.jpg --box=120,80,360,320 --output=out --checkpoint=DIR
    python train.py --config=configs/workdir.py:DIR --config.init_from=DIR --workdir=NEW --config.data.data_dir=data

The angles kind looks for your MANO files in mano/; --config.model.hand_model, and predict.py's --hand_model, name
another folder.
"""

import argparse
import sys
from pathlib import Path

from occrobnet_jax.user_errors import exit_status

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs from a checkout that isn't installed

import jax

from input_pipeline.config import DataConfig
from occrobnet_jax.files.hashes import file_sha256
from occrobnet_jax.files.paths import local_path_argument
from occrobnet_jax.runs.checkpoint import CheckpointMeta, CheckpointWriter
from occrobnet_jax.runs.checkpoint_folders import checkpoint_steps
from occrobnet_jax.runs.config import config_of
from occrobnet_jax.runs.experiment import Experiment, LossConfig
from occrobnet_jax.runs.network import make_model
from occrobnet_jax.runs.state import TrainState, abstract_variables
from occrobnet_jax.runs.summary import git_sha, prepare_workdir, write_config
from occrobnet_jax.training.optimizer import make_optimizer
from occrobnet_jax.weights import kypt

OBJECT_BOX_PAD_PX = 10.0
"""Of its HO-3D and H2O-3D loaders, added to each side of a box; InterHand2.6M's boxes get none."""


def import_file(path: Path, workdir: Path, mano: Path | None = None) -> list[str]:
    """Write the checkpoint of step 0 and config.json into a workdir; return what is worth telling the user.

    Raises:
        ValueError: the file is not one of the released kinds, or damaged; MANO's files are missing; or the workdir
            holds a run already.
    """
    if checkpoint_steps(workdir):
        raise ValueError(f"--workdir={workdir} holds the checkpoints of another run; choose another folder")
    state = kypt.read_snapshot(path)
    kind = kypt.kind_of(state, path)
    experiment = experiment_of(state, kind, mano)
    like = abstract_variables(make_model(experiment), experiment.data.input_size_px)
    variables = kypt.variables_of(state, kind, like, path)
    prepare_workdir(workdir)
    _write(workdir, experiment, variables, f"{path} (SHA-256 {file_sha256(path)})")
    weights = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    return [
        f"{path}: Keypoint Transformer, {kind.name}, for {kind.dataset}: {experiment.model.decoder_layers} decoder "
        f"layers, {'with' if experiment.model.with_object else 'no'} object, {weights:,} weights",
        f"not used: {', '.join(kypt.unused_arrays(state, kind))}",
    ]


def experiment_of(state: dict, kind: kypt.Kind, mano: Path | None) -> Experiment:
    """Return the network, crops and losses of a file, as Keypoint Transformer's code has them."""
    bone_vectors = 0.0 if kind is kypt.ANGLES else LossConfig.bone_vectors
    model = kypt.model_config(state, kind, mano)
    padding_px = OBJECT_BOX_PAD_PX if model.with_object else 0.0
    return Experiment(
        model=model,
        data=DataConfig(
            name=kind.dataset, eval_split="test", box_pad_px=padding_px, crop_centre="half_size", crop_averaging=False
        ),
        loss=LossConfig(bone_vectors=bone_vectors, object_corner_factors=((10, 4.0), (24, 4.0))),
    )


def _write(workdir: Path, experiment: Experiment, variables: dict, began_with: str) -> None:
    optimizer = make_optimizer(experiment.optimizer, experiment.model, experiment.total_steps)
    variables = jax.tree.map(jax.numpy.asarray, variables)
    opt_state = optimizer.init(variables["params"])
    train_state = TrainState(step=jax.numpy.zeros((), "int32"), averaged=None, opt_state=opt_state, **variables)
    with CheckpointWriter(workdir, experiment.keep_checkpoints) as checkpoints:
        meta = CheckpointMeta(0, 0, config_of(experiment), git_sha(), "", began_with=began_with)
        checkpoints.save(train_state, meta)
    write_config(workdir, config_of(experiment))


def main() -> int:
    """Import what the command line names; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=local_path_argument, help="snapshot of Keypoint Transformer, .pth.tar")
    parser.add_argument("--workdir", type=local_path_argument, required=True, help="new folder for the checkpoint")
    parser.add_argument(
        "--mano", type=local_path_argument, help="folder of MANO_RIGHT.pkl and MANO_LEFT.pkl, for the angles kind"
    )
    return exit_status(_import, parser.parse_args())


def _import(options: argparse.Namespace) -> None:
    print(*import_file(options.file, options.workdir, options.mano), options.workdir, sep="\n")


if __name__ == "__main__":
    sys.exit(main())
