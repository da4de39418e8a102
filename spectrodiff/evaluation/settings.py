"""Settings of an evaluation; the defaults are the paper's.

Gin files fill these classes under their own names (see `configs/eval/`).
"""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

from spectrodiff.core.config import check_types, require
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampler import SamplerName, Spacing
from spectrodiff.diffusion.sampling import Sampling, SamplingChanges, combine
from spectrodiff.evaluation.protocol import ProtocolName
from spectrodiff.music.programs import ProgramMap
from spectrodiff.music.tokenization import Tokenization

RowSource = Literal["model", "encoded", "raw", "soundfont"]

# Stands for the recording in file names, so no row can have this name.
RECORDING = "recording"


def _check_sampling(
    owner: str, steps: int | None, guidance: float | None, seed: int | None
) -> None:
    _check_at_least(f"{owner}.steps", steps, 1)
    _check_at_least(f"{owner}.seed", seed, 0)
    finite = guidance is None or math.isfinite(guidance)
    require(finite, f"{owner}.guidance", "a finite number", guidance)


def _check_at_least(subject: str, value: int | None, least: int) -> None:
    require(value is None or value >= least, subject, f"a whole number >= {least}", value)


@dataclasses.dataclass(frozen=True)
class Row:
    """Row of the tables: a way to produce audio that is then scored.

    Attributes:
        name: identifier in file names and in `scores.json`.
        source: "model" renders the notes, "encoded" inverts the features of the recording, "raw"
            is the recording itself, "soundfont" renders the notes with a soundfont, as a yardstick
            for corpora that were rendered.
        title: title in tables; by default the name in words.
        sampler: sampler of the model; None for that of `Evaluation`.
        steps: denoising steps per segment; None for those of `Evaluation`.
        guidance: guidance weight; None for that of `Evaluation`.
        variance: variance of the sampler; None for that of `Evaluation`.
        mask_context: True to generate every segment without context; None for the setting of
            `Evaluation`.
        spacing, times, start, guidance_times, context_guidance: as in `Sampling`; None for those of
            `Evaluation`, of which times are dropped as by `Sampling.but`.
        overlap: None, or that of `Evaluation`: all rows have segments of the same length.
        seed: seed of the sampling; None for that of `Evaluation`.
        inverter: an .onnx file or "griffin-lim"; None for that of `Evaluation`. Rows that differ
            only in the inverter share their features.
        score_phases: whether tones get their phases from the notes, as `spectrodiff.load` takes it;
            None for the setting of `Evaluation`.
        soundfont: .sf2 or .sf3 file of a row "soundfont"; None for TimGM6mb, which comes with the
            package pretty_midi.
    """

    name: str
    source: RowSource = "model"
    title: str | None = None
    sampler: SamplerName | None = None
    steps: int | None = None
    guidance: float | None = None
    variance: str | None = None
    mask_context: bool | None = None
    spacing: Spacing | None = None
    times: tuple[float, ...] | None = None
    start: float | None = None
    guidance_times: tuple[float, ...] | None = None
    context_guidance: float | None = None
    overlap: int | None = None
    seed: int | None = None
    inverter: str | None = None
    score_phases: bool | None = None
    soundfont: str | None = None

    def __post_init__(self) -> None:
        check_types(self)
        usable = re.fullmatch(r"[a-z0-9][a-z0-9_-]*", self.name) and self.name != RECORDING
        expected = f"small letters, digits, _ and -, and not {RECORDING!r}"
        require(bool(usable), "Row.name", expected, self.name)
        _check_sampling("Row", self.steps, self.guidance, self.seed)

    @property
    def heading(self) -> str:
        """Title in tables, or else the name in words."""
        return self.title or self.name.replace("_", " ").capitalize()

    @property
    def sampling(self) -> SamplingChanges:
        """Settings of the sampling, without the seed."""
        return _sampling_of(self)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Settings of an evaluation: songs, rows, sampling and metrics."""

    title: str | None = None  # title of the report; None for one with the name of the model
    datasets: tuple[str, ...] = ()  # as "corpus/config", or "corpus/config:split"
    split: str = "test"  # split of datasets that name none
    songs: int | None = None  # number of songs per dataset, the first ones; None for all
    # What is compared: "aligned" compares like with like; "released" does what the paper's
    # published code does, for scores beside the paper's (see `evaluation.protocol`).
    protocol: ProtocolName = "aligned"
    max_minutes: float = 10.0  # songs are cut to this length
    rows: tuple[Row, ...] = (Row("model", "model"), Row("encoded", "encoded"), Row("raw", "raw"))
    references_only: bool = False  # leaves out the rows that need a model

    # Sampling, and the instruments that songs are rendered with; None for the model's own settings.
    sampler: SamplerName | None = None
    steps: int | None = None
    guidance: float | None = None
    variance: str | None = None
    mask_context: bool | None = None
    spacing: Spacing | None = None
    times: tuple[float, ...] | None = None
    start: float | None = None
    guidance_times: tuple[float, ...] | None = None
    context_guidance: float | None = None
    overlap: int | None = None
    program_map: ProgramMap | None = None
    seed: int = 0
    inverter: str | None = None  # an .onnx file or "griffin-lim"; None for the model's own
    # Whether tones get their phases from the notes; None for where the kind of inverter needs it.
    score_phases: bool | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_size: int = 8  # number of songs that are rendered together

    vggish: str | None = None  # weights in a file, or a SavedModel as a folder or URL
    trill: str | None = None  # a SavedModel as a folder or URL
    onnx: tuple[str, ...] = ()  # other embeddings, in ONNX files
    transcriber: str | None = None  # folder of MT3's weights, or "basic_pitch"
    # Number of segments that MT3 decodes together; None for one that suits the device.
    transcriber_batch_size: int | None = None
    replicates: int = 200  # bootstrap replicates of confidence intervals; 0 for no intervals
    speed_segments: int = 4  # number of segments that are timed; 0 for no measurement of speed

    def __post_init__(self) -> None:
        check_types(self)
        names = [row.name for row in self.rows]
        require(
            bool(names) and len(set(names)) == len(names),
            "Evaluation.rows",
            "rows of different names",
            names,
        )
        _check_sampling("Evaluation", self.steps, self.guidance, self.seed)
        _check_at_least("Evaluation.songs", self.songs, 1)
        _check_at_least("Evaluation.batch_size", self.batch_size, 1)
        _check_at_least("Evaluation.transcriber_batch_size", self.transcriber_batch_size, 1)
        _check_at_least("Evaluation.replicates", self.replicates, 0)
        _check_at_least("Evaluation.speed_segments", self.speed_segments, 0)
        minutes = self.max_minutes
        finite = math.isfinite(minutes) and minutes > 0
        require(finite, "Evaluation.max_minutes", "a finite number > 0", minutes)

    def with_model_defaults(self, sampling: Sampling, tokenization: Tokenization) -> "Evaluation":
        """Returns a copy with the model's own settings in place of those that are None."""
        program_map = self.program_map or tokenization.program_map
        ours = combine(self._sampling, vars(sampling))
        return dataclasses.replace(self, **ours, program_map=program_map)

    def wanted_rows(self) -> list[Row]:
        """Returns the rows to compute; settings that they leave open are those of the evaluation.

        Raises:
            ConfigError: if no rows are left.
        """
        rows = [
            self._complete(row)
            for row in self.rows
            if row.source != "model" or not self.references_only
        ]
        if not rows:
            raise ConfigError("Evaluation.rows", "a row without a model", "references_only")
        return rows

    @property
    def _sampling(self) -> SamplingChanges:
        return _sampling_of(self)

    def _complete(self, row: Row) -> Row:
        names = ("seed", "inverter", "score_phases")
        own = {name: getattr(row, name) for name in names}
        ours = {name: getattr(self, name) for name in names}
        own_overlap = row.overlap in (None, self.overlap)
        expected = f"{self.overlap}, as in the whole evaluation"
        require(own_overlap, f"Row.overlap of {row.name}", expected, row.overlap)
        sampling = combine(row.sampling, self._sampling)
        return dataclasses.replace(row, **sampling, **_for_missing(own, ours))


def _sampling_of(settings: Row | Evaluation) -> SamplingChanges:
    return SamplingChanges(
        sampler=settings.sampler,
        steps=settings.steps,
        guidance=settings.guidance,
        variance=settings.variance,
        mask_context=settings.mask_context,
        spacing=settings.spacing,
        times=settings.times,
        start=settings.start,
        guidance_times=settings.guidance_times,
        context_guidance=settings.context_guidance,
        overlap=settings.overlap,
    )


def _for_missing(settings: Mapping[str, object], defaults: Mapping[str, object]) -> dict[str, Any]:
    """Returns the defaults of those settings that are None."""
    return {name: defaults[name] for name, value in settings.items() if value is None}
