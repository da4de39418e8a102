"""Schema of the results: one row for each planned measurement."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

from spectrodiff.core.json_files import write_json

JSON_FILE = "results.json"
Status = Literal["planned", "measured", "failed", "skipped"]


@dataclasses.dataclass
class Machine:
    """Device and versions of a run."""

    device: str
    platform: str  # "gpu", "cpu" or "tpu"
    driver: str
    memory_bytes: int | None  # that JAX can use
    cpu_cores: int
    versions: dict[str, str]
    started: str  # UTC
    minutes: float  # given to the run
    # Largest error of a float32 matrix product at JAX's default precision, relative to the largest
    # entry: about 1e-7 for float32, 1e-4 to 1e-3 for TF32.
    float32_error: float | None = None


@dataclasses.dataclass(frozen=True)
class CeilingSettings:
    what: Literal["matrices", "memory"]
    precision: str
    size: int  # width of the square matrices; bytes of the array


@dataclasses.dataclass
class Ceiling:
    per_second: float  # operations, or bytes read and written
    seconds: float  # of one product or copy
    repeats: int


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    size: str
    precision: str
    batch: int
    sampler: str
    steps: int
    guidance: float
    note_tokens: int
    padded_tokens: int
    context_frames: int
    target_frames: int


@dataclasses.dataclass
class Sampling:
    seconds: float  # of a batch of segments, encoders included
    audio_seconds_per_second: float
    encode_seconds: float
    step_seconds: float
    steps_timed: int  # if fewer than the steps, the time is extrapolated
    repeats: int
    compile_seconds: float
    program_bytes: int | None  # of the sampler's program: arguments, results and temporary memory
    peak_bytes: int | None  # of the process so far, if the backend reports it
    flops: float  # in matrix products
    traffic_bytes: float  # see counting.py
    flops_floor_seconds: float | None = None
    bytes_floor_seconds: float | None = None
    share_of_floor: float | None = None  # larger floor divided by the time


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    size: str
    precision: str
    batch: int
    padded_tokens: int
    data: Literal["one batch", "loader"]


@dataclasses.dataclass
class Training:
    batch: int  # smaller than the setting if memory is insufficient
    examples_per_second: float
    step_seconds: float
    steps_timed: int
    compile_seconds: float
    program_bytes: int | None
    peak_bytes: int | None
    flops_per_example: float  # three times those of the forward pass
    flops_per_second: float
    utilization: float | None = None  # fraction of the measured rate of matrix products
    loader_examples_per_second: float | None = None  # the loader alone
    waiting_share: float | None = None  # fraction of the time spent waiting for data


@dataclasses.dataclass(frozen=True)
class RepeatSettings:
    size: str
    precision: str
    batch: int
    steps: int


@dataclasses.dataclass
class Repeat:
    equal: bool  # parameters and losses are bitwise equal
    largest_parameter_difference: float
    largest_loss_difference: float
    first_loss: float
    last_loss: float


@dataclasses.dataclass(frozen=True)
class PortSettings:
    size: str
    precision: str
    batch: int
    compiled: bool


@dataclasses.dataclass
class Port:
    step_seconds: float  # of a guided step: two evaluations
    repeats: int
    peak_bytes: int | None
    ratio: float | None = None  # to our step of DDPM sampling


@dataclasses.dataclass(frozen=True)
class AudioSettings:
    what: Literal["inverter", "log-mel"]
    batch: int
    frames: int


@dataclasses.dataclass
class Audio:
    seconds: float
    audio_seconds_per_second: float
    repeats: int
    compile_seconds: float
    program_bytes: int | None


class Kind(NamedTuple):
    """Classes of a kind of rows."""

    settings: type
    measured: type


KINDS = {
    "ceiling": Kind(CeilingSettings, Ceiling),
    "sampling": Kind(SamplingSettings, Sampling),
    "training": Kind(TrainingSettings, Training),
    "determinism": Kind(RepeatSettings, Repeat),
    "port": Kind(PortSettings, Port),
    "sound": Kind(AudioSettings, Audio),
}


@dataclasses.dataclass
class Row:
    """A measurement, planned or done."""

    group: str  # part of the plan
    kind: str  # of KINDS
    settings: Any
    status: Status = "planned"
    note: str = ""  # reason for failing or skipping, or a remark
    compiling_beside: bool = False  # other programs were compiled at the same time
    at_seconds: float | None = None  # end of the measurement since the start of the run
    measured: Any = None

    @property
    def name(self) -> str:
        """Group and settings in one line."""
        values = dataclasses.asdict(self.settings)
        return f"{self.group}: " + ", ".join(f"{name} {value}" for name, value in values.items())


@dataclasses.dataclass
class Results:
    """Rows in the order of the plan."""

    machine: Machine
    rows: list[Row]

    def of(self, kind: str) -> list[Row]:
        """Returns the rows of a kind."""
        return [row for row in self.rows if row.kind == kind]

    def measured(self, kind: str) -> list[Row]:
        """Returns the rows of a kind that have been measured."""
        return [row for row in self.of(kind) if row.measured is not None]

    def rate(self, what: str, precision: str) -> float | None:
        """Returns a measured ceiling, per second."""
        for row in self.measured("ceiling"):
            if (row.settings.what, row.settings.precision) == (what, precision):
                return float(row.measured.per_second)
        return None

    def bandwidth(self) -> float | None:
        """Returns the measured bytes per second, read and written."""
        for row in self.measured("ceiling"):
            if row.settings.what == "memory":
                return float(row.measured.per_second)
        return None

    def write(self, folder: Path) -> None:
        """Writes results.json atomically."""
        write_json(folder / JSON_FILE, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Reads results.json."""
        content = json.loads((folder / JSON_FILE).read_text())
        rows = []
        for row in content["rows"]:
            kind = KINDS[row["kind"]]
            measured = row["measured"]
            rows.append(
                Row(
                    **{
                        **row,
                        "settings": kind.settings(**row["settings"]),
                        "measured": None if measured is None else kind.measured(**measured),
                    }
                )
            )
        return cls(Machine(**content["machine"]), rows)


def relate(results: Results) -> None:
    """Computes values that depend on several rows: floors, utilization, ratios."""
    bandwidth = results.bandwidth()
    for row in results.measured("sampling"):
        found, rate = row.measured, results.rate("matrices", row.settings.precision)
        found.flops_floor_seconds = found.flops / rate if rate and found.flops else None
        found.bytes_floor_seconds = found.traffic_bytes / bandwidth if bandwidth else None
        floors = found.flops_floor_seconds, found.bytes_floor_seconds
        found.share_of_floor = max(floors) / found.seconds if all(floors) else None
    for row in results.measured("training"):
        rate = results.rate("matrices", row.settings.precision)
        row.measured.utilization = row.measured.flops_per_second / rate if rate else None
    ours = {
        (row.settings.size, row.settings.precision, row.settings.batch): row.measured.step_seconds
        for row in results.measured("sampling")
        if row.settings.sampler == "ddpm"
    }
    for row in results.measured("port"):
        key = (row.settings.size, row.settings.precision, row.settings.batch)
        row.measured.ratio = row.measured.step_seconds / ours[key] if key in ours else None
