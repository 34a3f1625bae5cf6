"""What can be converted: the interface of dataset sources, and how they say that an example can't be had."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from input_pipeline.schema import Example


class UnusableExample(ValueError):
    """An example of an official dataset that can't be stored; conversion goes on without it and lists it.

    Attributes:
        reason: a few words under which such examples are counted: "image missing".
    """

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(reason, details)  # both, so that it can be sent between processes
        self.reason = reason
        self.details = details

    def __str__(self) -> str:
        return self.details


@runtime_checkable
class Source(Protocol):
    """What can be written as a dataset. Must be picklable; see `OfficialSource` for what it may have besides.

    A source whose examples depend on more than split and index names that in a dict `settings`; a folder that was
    written under other settings is then refused. One whose examples are arms of scenes says so: `has_arms`.
    """

    @property
    def name(self) -> str:
        """Name of the dataset."""

    @property
    def version(self) -> str:
        """Version of its content, "1.0.0"."""

    @property
    def splits(self) -> dict[str, int]:
        """Number of examples of each split."""

    def example(self, split: str, index: int) -> Example:
        """Return example number `index` of a split."""


@runtime_checkable
class OfficialSource(Source, Protocol):
    """A source that reads others' files: its images are checked, and what is unusable is left out and listed."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the examples depend on besides the dataset, as JSON."""

    @property
    def absent_splits(self) -> Sequence[str]:
        """Splits of the dataset that are not there."""

    @property
    def published(self) -> Mapping[str, Mapping[str, int]]:
        """Published counts: "examples" and "two_hands" by split; "train+val" is the sum of two."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on what the user should know about these examples, for the dataset's metadata."""
