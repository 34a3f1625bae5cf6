"""The config that a run or an imported checkpoint was kept with: --config=configs/workdir.py:DIR reads DIR/config.json.

    python eval.py --config=configs/workdir.py:runs/kypt --workdir=runs/kypt --config.data.data_dir=data

Further settings are overridden as with any other config. No place that is read or written comes from the workdir, which
may be anyone's: name the dataset's folder, if it isn't data/, and --config.model.hand_model, if MANO's files aren't in
mano/.
"""

from ml_collections import ConfigDict

from occrobnet_jax.files.paths import path_of
from occrobnet_jax.files.readers import read_json
from occrobnet_jax.runs.config import config_of, foreign_experiment
from occrobnet_jax.runs.summary import CONFIG_FILE


def get_config(workdir: str = "") -> ConfigDict:
    """Return the whole config of a workdir; settings that are newer than it have their defaults."""
    if not workdir:
        raise ValueError("configs/workdir.py needs the folder of a run: --config=configs/workdir.py:DIR")
    path = path_of(workdir) / CONFIG_FILE
    kept = read_json(path)
    if not isinstance(kept, dict):
        raise ValueError(f"{path} is not a config of this project")
    return ConfigDict(config_of(foreign_experiment(kept)))
