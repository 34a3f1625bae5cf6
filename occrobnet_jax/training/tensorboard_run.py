"""A run's curves and pictures as TensorBoard's event files, written without TensorFlow (tensorboardX, MIT)."""

import importlib.util
from collections.abc import Mapping

import numpy as np

from occrobnet_jax.files.paths import AnyPath, here

FOLDER = "tensorboard"


def check_installed() -> None:
    """Look for the library that writes the files.

    Raises:
        ValueError: it is not installed.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        raise ValueError("config.tensorboard=True needs tensorboardX: pip install tensorboardX, or set it to False")


class TensorboardRun:
    """The event files of a workdir; every start of the run adds one."""

    def __init__(self, workdir: AnyPath, step: int):
        """Go on after `step`; what earlier files have of later steps is no longer shown."""
        from tensorboardX import SummaryWriter  # here, because it is an optional install

        # A queue without end: the training never waits for a slow disk.
        self._writer = SummaryWriter(str(here(workdir) / FOLDER), purge_step=step + 1, max_queue=0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def log_images(self, step: int, images: Mapping[str, list[np.ndarray]]) -> None:
        """Write lists of RGB images."""
        for name, group in images.items():
            for number, image in enumerate(group):
                self._writer.add_image(f"{name}/{number}", image, step, dataformats="HWC")

    def finish(self) -> None:
        """Write what is left."""
        self._writer.close()
