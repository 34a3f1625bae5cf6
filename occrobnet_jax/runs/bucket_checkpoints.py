"""Checkpoints in a bucket.

Orbax can't write to every bucket, and a bucket can't rename a folder that is complete. So a checkpoint is written to
a disk of the first host, as always, then copied object by object, the file of checksums last: what lacks that is no
checkpoint. A run that was killed meanwhile goes on from the one before.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from etils import epath

from occrobnet_jax.files.copies import download, remove, several, upload
from occrobnet_jax.files.paths import AnyPath, in_bucket
from occrobnet_jax.parallel import hosts
from occrobnet_jax.runs.checkpoint import EVALUATION, CheckpointMeta, CheckpointWriter, cause, metrics_of, write_metrics
from occrobnet_jax.runs.checkpoint_folders import FOLDER, checkpoint_directory, checkpoint_steps
from occrobnet_jax.runs.checksums import CHECKSUMS_FILE, is_sealed, read_checksums
from occrobnet_jax.runs.retention import Retention
from occrobnet_jax.runs.state import TrainState


class BucketCheckpointWriter:
    """Saves to a bucket in the background, as `CheckpointWriter` to a disk."""

    def __init__(self, workdir: epath.Path, keep: int, **rule: Any):
        """Prepare for saving, on all hosts; what stays, see `CheckpointWriter`. What a killed run left is removed."""
        self._workdir = workdir
        self._kept = Retention(keep, metrics_of=lambda step: metrics_of(workdir, step), **rule).kept
        self._disk = tempfile.TemporaryDirectory(prefix="occrobnet_checkpoints_")
        self._writer = CheckpointWriter(Path(self._disk.name), 1, self._publish) if hosts.is_lead() else None
        if hosts.is_lead():
            self._remove_unfinished()

    def save(self, state: TrainState, meta: CheckpointMeta) -> None:
        """Copy the whole state to every host's memory and start to write it; all hosts must call it.

        Raises:
            OSError: this checkpoint, or the one before, could not be written; those before that are as they were.
        """
        whole = hosts.fetch(state)
        if self._writer:
            with self._told():
                self._writer.save(whole, meta)

    def keep_metrics(self, step: int, metrics: Mapping[str, float | int]) -> None:
        """Write what the evaluation of a checkpoint has found beside it, on the first host.

        Raises:
            OSError: the checkpoint or this file can't be written.
        """
        self.wait()
        if self._writer:
            write_metrics(checkpoint_directory(self._workdir, step), metrics)

    def wait(self) -> None:
        """Wait, on the first host, until the checkpoint that is being written is in the bucket.

        Raises:
            OSError: it could not be written.
        """
        if self._writer:
            with self._told():
                self._writer.wait()

    def __enter__(self) -> "BucketCheckpointWriter":
        """Return the writer; there is nothing more to open."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait until everything is written, whatever ended the run."""
        with self._disk, self._told():
            if self._writer:
                self._writer.__exit__(*error)

    def _publish(self, directory: Path) -> None:
        """Bring a complete checkpoint to the bucket, then removes those that shall not stay."""
        target = checkpoint_directory(self._workdir, int(directory.name.split(".")[0]))
        assert in_bucket(target)
        several(lambda name: upload(directory / name, target / name), read_checksums(directory))
        upload(directory / CHECKSUMS_FILE, target / CHECKSUMS_FILE)  # from now on it is a checkpoint
        steps = checkpoint_steps(self._workdir)
        for step in set(steps) - self._kept(steps):
            folder = self._workdir / FOLDER / str(step)
            (folder / CHECKSUMS_FILE).unlink()  # from now on it is none
            remove(folder)

    def _remove_unfinished(self) -> None:
        folder = self._workdir / FOLDER
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            if path.name.isdecimal() and not is_sealed(path):
                remove(path)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Name the bucket in what the user hears where a checkpoint could not be written."""
        try:
            yield
        except OSError as error:
            steps = checkpoint_steps(self._workdir)
            raise OSError(
                f"a checkpoint can't be written to {self._workdir / FOLDER} ({cause(error.__cause__ or error)}); "
                f"those of steps {steps} are untouched: mend that, then start again"
            ) from error


AnyCheckpointWriter: TypeAlias = CheckpointWriter | BucketCheckpointWriter


def checkpoint_writer(workdir: AnyPath, keep: int, **rule: Any) -> AnyCheckpointWriter:
    """Return what saves checkpoints to a workdir; the newest `keep` stay, and what else the fields `rule` of
    `Retention` say.
    """
    if in_bucket(workdir):
        return BucketCheckpointWriter(workdir, keep, **rule)
    return CheckpointWriter(workdir, keep, **rule)


@contextlib.contextmanager
def at_hand(directory: AnyPath) -> Iterator[Path]:
    """Yield a checkpoint's folder, or a copy of one in a bucket for the time of the block; what is missing stays so."""
    if not in_bucket(directory):
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="occrobnet_checkpoint_") as disk:
        copy = Path(disk, directory.name)

        def bring(name: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                download(directory / name, copy / name)

        bring(CHECKSUMS_FILE)
        bring(EVALUATION)
        with contextlib.suppress(ValueError):
            several(bring, read_checksums(copy))
        yield copy
