"""Measured points: their settings and measures, and how they are stored."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from listening.measures import Better, Value
from listening.statistics import Items, Statistic

from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.errors import ReportError
from spectrodiff.evaluation.dataclass_json import read_dataclass, write_dataclass

FORMAT = 1
# Changes when measures do, so that stored points are not used for new ones.
MEASURES = 2

Role = Literal["teacher", "late", "student", "seed", "soundfont", "inverter"]


@dataclasses.dataclass(frozen=True)
class Measure:
    """A measured number with the items that it is a statistic of.

    Attributes:
        group: of related measures.
        name: of the measure, unique in its group.
        unit: of the number, "" for none.
        better: better values: "higher", "lower", or those closer to the soundfont's ("reference").
        value: None if it could not be measured.
        statistic: statistic of the items; None for a single number.
        items: numbers of each song, note, join or window of time.
    """

    group: str
    name: str
    unit: str
    better: Better
    value: float | None = None
    statistic: Statistic | None = None
    items: Sequence[Sequence[float | None]] = ()

    @classmethod
    def of(cls, value: Value) -> "Measure":
        """Returns a measured value in the form in which it is stored."""
        known = value.value if math.isfinite(value.value) else None
        finite: Items = tuple(
            tuple(None if n is None or not math.isfinite(n) else n for n in row)
            for row in value.items
        )
        return cls(
            value.group, value.name, value.unit, value.better, known, value.statistic, finite
        )

    @property
    def column(self) -> tuple[str, str]:
        """Group and name, which identify a measure."""
        return self.group, self.name

    @property
    def title(self) -> str:
        """Name with its unit."""
        return f"{self.name} ({self.unit})" if self.unit else self.name


@dataclasses.dataclass(frozen=True)
class Point:
    """A model with its settings, or a soundfont or inverter to compare with, and its measures.

    Attributes:
        role: "teacher", "late" (the teacher, guided in its last steps only), "student", "seed" (the
            reference with another seed), "soundfont", or "inverter" (the inverter on the features
            of the first soundfont).
        name: of the model, soundfont or inverter.
        key: checksum of everything that the measures depend on.
        sampler: name of the sampler; None for soundfonts and inverters, as the next three.
        steps: number of sampling steps.
        guidance: guidance weight.
        evaluations: number of network evaluations per segment.
        measures: one for each column of listen.py that depends on the features.
    """

    role: Role
    name: str
    key: str
    sampler: str | None
    steps: int | None
    guidance: float | None
    evaluations: int | None
    measures: Sequence[Measure]

    @property
    def title(self) -> str:
        """Name with the settings."""
        if self.steps is None or self.guidance is None:
            return self.name
        steps = "1 step" if self.steps == 1 else f"{self.steps} steps"
        guided = f", guidance {self.guidance:g}" if self.guidance != 1 else ""
        return f"{self.name}, {steps}{guided}" + (", other seed" if self.role == "seed" else "")

    def measure(self, column: tuple[str, str]) -> Measure | None:
        """Returns the measure of a column; None if there is none."""
        return next((m for m in self.measures if m.column == column), None)


@dataclasses.dataclass(frozen=True)
class Curve:
    """Points of a run, and the settings that they share.

    Attributes:
        form: amount of music, a name in `listening.songs.FORMS`.
        seed: of sampling.
        gain: of the soundfonts.
        reference: key of the point that the others are compared with.
        points: in the order of the table.
    """

    form: str
    seed: int
    gain: float
    reference: str
    points: Sequence[Point]

    @property
    def reference_point(self) -> Point:
        """Point that the others are compared with.

        Raises:
            ReportError: if there is none.
        """
        found = [p for p in self.points if p.key == self.reference and p.role == "teacher"]
        if not found:
            raise ReportError("reference", "the key of a point of the teacher", self.reference)
        return found[0]

    def first(self, role: Role) -> Point | None:
        """Returns the first point of a role; None if there is none."""
        return next((point for point in self.points if point.role == role), None)

    def write(self, path: Path) -> None:
        """Writes the curve as JSON.

        Raises:
            OutputError: if it cannot be written.
        """
        write_dataclass(path, self, FORMAT)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Curve":
        """Reads a curve that `write` has written.

        Raises:
            ReportError: if the file is missing or holds something else.
        """
        return read_dataclass(cls, path, FORMAT, "results of benchmarks/evaluations.py")


class PointStore:
    """Points in a folder, each in a file that is named after everything it depends on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __contains__(self, key: str) -> bool:
        return self._path(key).is_file()

    def read(self, key: str) -> Sequence[Measure]:
        """Returns the measures of a stored point.

        Raises:
            ReportError: if the file is damaged.
        """
        return read_dataclass(Point, self._path(key), FORMAT, "a measured point").measures

    def write(self, point: Point) -> None:
        """Stores a point, complete or not at all.

        Raises:
            OutputError: if it cannot be written.
        """
        write_dataclass(self._path(point.key), point, FORMAT)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def point_key(settings: dict[str, Any]) -> str:
    """Returns the checksum of everything that the measures of a point depend on."""
    return json_checksum({**settings, "measures": MEASURES})
