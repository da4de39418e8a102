"""Everything that can be set about an evaluation; the defaults are the paper's.

Gin files fill these classes under their own names (see `configs/eval/`), the entry point hands them
on.
"""

import dataclasses
import math
import re
from typing import Any, Literal

from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampler import SamplerName
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.tokenization import Tokenization

RowSource = Literal["model", "encoded", "raw"]

# Stands for the true audio in file names, whatever the rows are called.
RECORDING = "recording"


def _check_drawing(settings: Any) -> None:
    _check_at_least(settings, "steps", 1)
    _check_at_least(settings, "seed", 0)
    guidance = settings.guidance
    subject = f"{type(settings).__name__}.guidance"
    require(guidance is None or math.isfinite(guidance), subject, "a finite number", guidance)


def _check_at_least(settings: Any, name: str, least: int) -> None:
    value = getattr(settings, name)
    subject = f"{type(settings).__name__}.{name}"
    require(value is None or value >= least, subject, f"a whole number >= {least}", value)


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the tables: audio, and how it comes about.

    Attributes:
        name: of its files and in `scores.json`.
        source: "model" draws features from the notes, "encoded" takes the features of the true
            audio, "raw" is the true audio itself.
        title: how tables call it; by default the name in words.
        sampler: this and the next four are how a model draws, by default as in `Evaluation`.
        steps: see `sampler`.
        guidance: see `sampler`.
        variance: see `sampler`.
        seed: see `sampler`.
        inverter: what turns features into audio, by default as in `Evaluation`. Rows that differ
            in nothing else share their features.
    """

    name: str
    source: RowSource = "model"
    title: str | None = None
    sampler: SamplerName | None = None
    steps: int | None = None
    guidance: float | None = None
    variance: str | None = None
    seed: int | None = None
    inverter: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        usable = re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name) and self.name != RECORDING
        expected = f"small letters, digits, _ and -, and not {RECORDING!r}"
        require(bool(usable), "Row.name", expected, self.name)
        _check_drawing(self)

    @property
    def words(self) -> str:
        """Name in tables."""
        return self.title or self.name.replace("_", " ").capitalize()


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What is rendered, and what is measured."""

    title: str | None = None  # of the report
    datasets: tuple[str, ...] = ()  # as "corpus/config", or "corpus/config:split"
    split: str = "test"
    songs: int | None = None  # of each dataset, its first; None for all
    max_minutes: float = 10.0  # of a song
    rows: tuple[Row, ...] = (Row("model", "model"), Row("encoded", "encoded"), Row("raw", "raw"))
    references_only: bool = False  # leaves out the rows that need a model

    # How the model is run, and the instruments its songs are played on; None for the model's own.
    sampler: SamplerName | None = None
    steps: int | None = None
    guidance: float | None = None
    variance: str | None = None
    program_map: ProgramMap | None = None
    seed: int = 0
    inverter: str | None = None  # an .onnx file or "griffin-lim"; None for the model's own
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_size: int = 8  # songs rendered side by side

    vggish: str | None = None  # weights in a file, or a SavedModel as a folder or URL
    trill: str | None = None  # a SavedModel as a folder or URL
    onnx: tuple[str, ...] = ()  # any embeddings in ONNX files
    transcriber: str | None = None  # the folder of MT3's weights, or "basic_pitch"
    replicates: int = 200  # of the bootstrap; 0 for no intervals
    speed_segments: int = 4  # timed one after another; 0 for no measurement

    def __post_init__(self) -> None:
        check_types(self)
        names = [row.name for row in self.rows]
        require(
            bool(names) and len(set(names)) == len(names),
            "Evaluation.rows",
            "rows of different names",
            names,
        )
        _check_drawing(self)
        for name in ("songs", "batch_size"):
            _check_at_least(self, name, 1)
        for name in ("replicates", "speed_segments"):
            _check_at_least(self, name, 0)
        require(self.max_minutes > 0, "Evaluation.max_minutes", "a number > 0", self.max_minutes)

    def of_model(self, sampling: Sampling, tokenization: Tokenization) -> "Evaluation":
        """The same with the model's own settings where no others are asked for."""
        own = {**dataclasses.asdict(sampling), "program_map": tokenization.program_map}
        missing = {name: value for name, value in own.items() if getattr(self, name) is None}
        return dataclasses.replace(self, **missing)

    def wanted_rows(self) -> list[Row]:
        """The rows to compute, with what they leave open as in these settings.

        Raises:
            ConfigError: if none are left.
        """
        rows = [
            self._complete(row)
            for row in self.rows
            if row.source != "model" or not self.references_only
        ]
        if not rows:
            raise ConfigError("Evaluation.rows", "a row without a model", "references_only")
        return rows

    def _complete(self, row: Row) -> Row:
        inherited = ("sampler", "steps", "guidance", "variance", "seed", "inverter")
        chosen = {name: getattr(row, name) for name in inherited}
        ours = {name: getattr(self, name) for name, value in chosen.items() if value is None}
        return dataclasses.replace(row, **ours)
