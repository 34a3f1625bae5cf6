"""What the protocols of all benchmarks have in common: a name, words, and a number that can't be had without them."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool

from occrobnet_jax.evaluation.formats.records import Records, Setting
from occrobnet_jax.evaluation.metrics.measures import Measures


@dataclasses.dataclass(frozen=True)
class Extras:
    """What a protocol may need besides the predictions."""

    annotation_ids: frozenset[int] | None = None  # of InterHand2.6M's subset
    object_models: Mapping[int, Any] = dataclasses.field(default_factory=dict)  # by YCB number: objects.ObjectModel


class Convention(abc.ABC):
    """A way to score, under the name that is printed with each of its numbers.

    Its subclasses are frozen dataclasses; what can be switched stands in `SWITCHES`, with the settings there are.
    """

    SWITCHES: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """The benchmark, the published convention, and every switch that differs from it."""

    @property
    @abc.abstractmethod
    def words(self) -> str:
        """What is aligned, what counts, and who reports it."""

    def resolve(self, setting: Setting) -> "Convention":
        """Return the convention as it applies to predictions of this setting; its name may say more than before.

        Raises:
            ValueError: the setting doesn't tell.
        """
        return self

    @property
    def num_expected(self) -> int | None:
        """Examples of the benchmark, where their number is fixed."""
        return None

    @property
    def if_none(self) -> str:
        """Why perhaps no example counts, and what helps."""
        return ""

    def rows(self, records: Records, extras: Extras) -> Bool[np.ndarray, " n"]:
        """Return the mask of the examples, some of all, that count at all.

        Raises:
            ValueError: the records lack something that this needs.
        """
        return np.ones(len(records["hand_present"]), bool)

    def notes(self, records: Records, setting: Setting) -> list[str]:
        """Return what somebody who reads the numbers must know about these predictions, some of all."""
        return []

    @abc.abstractmethod
    def measures(self, records: Records, setting: Setting, extras: Extras) -> Measures:
        """Name of numbers, with their units, and what they are the means of; of some of the rows that count.

        Raises:
            ValueError: the records lack something that the convention needs.
        """


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsDecoded(Convention):
    """A convention that takes 2.5D poses at the depth that they were decoded at, and says so in its name."""

    depth: str = ""  # "" of poses that are 3D already

    def resolve(self, setting: Setting) -> "AsDecoded":
        """Return the convention with the depth of the run's config, `root_depth`, if the poses are 2.5D."""
        if setting.switches.get("representation") != "2.5d":
            return self
        return dataclasses.replace(self, depth=setting.switches.get("root_depth", "unknown"))

    @property
    def depth_suffix(self) -> str:
        """What the name ends in."""
        return f"+depth={self.depth}" if self.depth else ""


def need(records: Records, name: str, why: str) -> np.ndarray:
    """Return a column of the records.

    Raises:
        ValueError: it isn't there.
    """
    if name not in records:
        raise ValueError(f"the predictions lack {name}, which {why} needs; docs/evaluation.md says what it holds")
    return records[name]


def switched(convention: Convention, switches: Mapping[str, str]) -> Convention:
    """Return a convention with some of its switches set otherwise.

    Raises:
        ValueError: there is no such switch, or it has no such setting.
    """
    possible = convention.SWITCHES
    for name, value in switches.items():
        if name not in possible:
            known = ", ".join(f"{key}={'|'.join(values)}" for key, values in possible.items()) or "none"
            raise ValueError(f"{convention.name} has no switch {name!r}; its switches are {known}")
        if value not in possible[name]:
            raise ValueError(f"{name}={value} must be one of {', '.join(possible[name])}")
    changed: Convention = dataclasses.replace(convention, **switches)  # type: ignore[type-var]
    return changed
