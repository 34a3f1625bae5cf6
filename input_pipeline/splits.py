"""Random access to the examples of a prepared dataset, as TFDS stores them; no TensorFlow."""

import bisect
import itertools
from collections.abc import Sequence

import tensorflow_datasets as tfds

from input_pipeline.config import DataConfig
from input_pipeline.record_files import Part, RecordFiles
from input_pipeline.records import decode_record
from input_pipeline.schema import Example
from input_pipeline.staging import local_data_dir

_ARGUMENTS = {"ho3d_v2": "ho3d --version v2", "ho3d_v3": "ho3d --version v3"}
"""What is given to input_pipeline.prepare, where it isn't the dataset's own name."""


class MissingSplit(ValueError):
    """The dataset is there, the split is not."""


class Split:
    """Examples 0 to len - 1 of one split, images still encoded. Can be sent to another process.

    Raises:
        ValueError: dataset or split don't exist, or hold nothing; says how to prepare the dataset. Reading an
            example raises it where the record is damaged.
    """

    def __init__(self, name: str, data_dir: str, split: str) -> None:
        builder = _open_dataset(name, data_dir)
        try:
            files = builder.info.splits[split].file_instructions
        except (KeyError, ValueError) as error:
            held = {name: held.num_examples for name, held in builder.info.splits.items()}
            raise MissingSplit(f"{builder.data_path} has no split {split!r}; its examples are {held}") from error
        self._records = RecordFiles([Part(file.filename, file.skip, file.take) for file in files])
        if len(self._records) == 0:
            raise ValueError(f"split {split!r} of {builder.data_path} has no examples")
        self._place = f"split {split!r} of {builder.data_path}"
        self._remedy = f"delete that folder, then {_remedy(name, data_dir)}"

    def __len__(self) -> int:
        return len(self._records)

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """Numbers of examples of the datasets that it consists of, in order."""
        return (len(self),)

    def __getitem__(self, index: int) -> Example:
        """Return example number `index`, its fields typed as `schema` says."""
        try:
            return decode_record(self._records[index])
        except Exception as error:  # the reader, protobuf and NumPy each have their own ways to fail on damaged bytes
            raise ValueError(f"record {index} of {self._place} can't be read ({error}); {self._remedy}") from error


class Mixture(Split):
    """The examples of several datasets' splits, one dataset after the other. Can be sent to another process."""

    def __init__(self, parts: Sequence[Split]) -> None:
        self._parts = tuple(parts)
        self._ends = list(itertools.accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1]

    @property
    def part_sizes(self) -> tuple[int, ...]:
        """Numbers of examples of the datasets that it consists of, in order."""
        return tuple(len(part) for part in self._parts)

    def __getitem__(self, index: int) -> Example:
        """Return example number `index`, its fields typed as `schema` says."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = bisect.bisect_right(self._ends, index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]


def open_split(data: DataConfig, split: str) -> Split:
    """Return the examples of a split ("train", "train[:8]", ...) of the configured dataset.

    Where `data.name` names several ("ho3d_v2+h2o3d"), the split is that of each of them, one after the other;
    "h2o3d/val" is the split of one.

    Raises:
        ValueError: see `Split`.
    """
    names = data.name.split("+")
    chosen, _, rest = split.partition("/")
    if rest:
        if chosen not in names:
            raise ValueError(f"split {split!r} names the dataset {chosen!r}; data.name={data.name!r} has {names}")
        names, split = [chosen], rest
    parts = [Split(name, data.data_dir, split) for name in names]
    return parts[0] if len(parts) == 1 else Mixture(parts)


def split_size(data: DataConfig, split: str) -> int:
    """Return the number of examples in a split."""
    return len(open_split(data, split))


def _open_dataset(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """Return the newest version of a dataset under `data_dir`."""
    root, remedy = local_data_dir(data_dir, name), _remedy(name, data_dir)
    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"there is no prepared dataset in {root / name}; {remedy}") from error
    except Exception as error:  # its JSON files may be damaged in many ways
        raise ValueError(f"the dataset in {root / name} is damaged ({error}); delete it, then {remedy}") from error


def _remedy(name: str, data_dir: str) -> str:
    arguments = _ARGUMENTS.get(name, name) + ("" if name.startswith("synthetic_") else " --raw DIR")
    return f"prepare it with: python -m input_pipeline.prepare {arguments} --data_dir {data_dir}"
