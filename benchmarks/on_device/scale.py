"""Sizes of the measurements: the paper's, and tiny ones for a test."""

import dataclasses

from spectrodiff.models.config import ModelConfig
from spectrodiff.training.settings import Network


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes of all measurements.

    Attributes:
        networks: networks by their names in results.
        note_tokens: number of note tokens of a segment; sampling pads them to the next bucket.
        padded_tokens: number of tokens that training pads to.
        many_steps: number of steps of DDPM.
        few_steps: number of steps of DPM-Solver++.
        first_batches: batch sizes of sampling and of the port.
        later_batches: further batch sizes of sampling, measured last.
        training_batches: two batch sizes of each network.
        matrix_width: width of the square matrices of the ceiling.
        copy_bytes: size of the array of the bandwidth.
        repeated_steps: number of steps of the two trainings that are compared.
        inverter: size of the inverter.
        inverter_frames: length of its features, at 50 frames per second.
        recordings: number of recordings of one minute that the loader reads.
        port_size: network that is compared with the port.
        for_cpu: True if a CPU can run the measurements.
        row_seconds: time of a measurement; None for a fraction of the time of the run.
    """

    networks: dict[str, Network]
    note_tokens: int
    padded_tokens: int
    many_steps: int
    few_steps: int
    first_batches: tuple[int, ...]
    later_batches: tuple[int, ...]
    training_batches: dict[str, tuple[int, int]]
    matrix_width: int
    copy_bytes: int
    repeated_steps: int
    inverter: str
    inverter_frames: int
    recordings: int
    port_size: str
    for_cpu: bool = False
    row_seconds: float | None = None

    def config(self, size: str) -> ModelConfig:
        """Returns all sizes of a network."""
        return self.networks[size].config()


FULL = Scale(
    networks={size: Network(size=size) for size in ("base", "small")},
    note_tokens=400,
    padded_tokens=512,
    many_steps=1000,
    few_steps=10,
    first_batches=(1, 16),
    later_batches=(4,),
    training_batches={"base": (32, 64), "small": (64, 128)},
    matrix_width=8192,
    copy_bytes=1 << 30,
    repeated_steps=50,
    inverter="frame_rate",
    inverter_frames=1000,
    recordings=16,
    port_size="base",
)

TINY = Scale(
    networks={
        "tiny": Network(size="tiny", target_frames=16, context_frames=16, note_tokens=64),
    },
    note_tokens=40,
    padded_tokens=64,
    many_steps=30,
    few_steps=3,
    first_batches=(1, 2),
    later_batches=(3,),
    training_batches={"tiny": (2, 4)},
    matrix_width=128,
    copy_bytes=1 << 20,
    repeated_steps=3,
    inverter="tiny",
    inverter_frames=32,
    recordings=2,
    port_size="tiny",
    for_cpu=True,
    row_seconds=0.2,
)
