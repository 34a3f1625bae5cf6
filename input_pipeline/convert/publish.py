"""A dataset for a bucket: written on this machine's disk, as always, then copied, its manifest last."""

from pathlib import Path

from etils import epath

from input_pipeline.convert.sources import Source
from input_pipeline.manifest_file import MANIFEST_FILE, read_manifest
from input_pipeline.staging import bring_metadata, listed_files
from occrobnet_jax.files.copies import several, upload
from occrobnet_jax.files.paths import AnyPath, copy_of, in_bucket
from occrobnet_jax.progress import progress


def work_dir(data_dir: AnyPath) -> Path:
    """Return the folder that datasets are written into: `data_dir` itself, or of a bucket's this machine's copy."""
    return copy_of(data_dir) if in_bucket(data_dir) else data_dir


def find_published(source: Source, data_dir: AnyPath) -> None:
    """Bring the metadata of the dataset that a bucket has already: it isn't converted again, nor under other settings.

    Raises:
        ValueError: what is there is damaged.
        OSError: the bucket can't be reached.
    """
    if in_bucket(data_dir) and (data_dir / source.name / source.version / MANIFEST_FILE).exists():
        bring_metadata(data_dir / source.name / source.version)


def publish(folder: Path, data_dir: AnyPath) -> AnyPath:
    """Bring a finished dataset from `work_dir` to where it shall be; return the folder there.

    Raises:
        OSError: the bucket can't be written.
    """
    if not in_bucket(data_dir):
        return folder
    there = data_dir / folder.relative_to(copy_of(data_dir)).as_posix()
    manifest = there / MANIFEST_FILE
    if not manifest.exists() or manifest.read_bytes() != (folder / MANIFEST_FILE).read_bytes():
        manifest.unlink(missing_ok=True)  # from now on what is there is no dataset
        _copy(folder, there)
        upload(folder / MANIFEST_FILE, manifest)  # from now on it is this one
    return there


def _copy(folder: Path, there: epath.Path) -> None:
    names = [facts["file"] for facts in listed_files(read_manifest(folder))]
    with progress(names, f"copying to {there}", len(names)) as bar:

        def copy(name: str) -> None:
            upload(folder / name, there / name)
            bar.update()

        several(copy, names)
