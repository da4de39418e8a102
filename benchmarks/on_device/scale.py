"""Sizes of what is measured: the paper's, or tiny ones to try it out."""

import dataclasses

from spectrodiff.models.config import ModelConfig
from spectrodiff.training.settings import Network


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes of everything.

    Attributes:
        networks: what differs from a size of the table, by the name it has in results.
        note_tokens: of a segment; sampling pads them to the next usual length.
        padded_tokens: what training pads them to.
        many_steps: of ancestral sampling.
        few_steps: of DPM-Solver++.
        first_batches: of sampling and of the port.
        later_batches: of sampling, if there is time.
        training_batches: of each network, the first one and a larger one.
        matrix_width: of the square matrices that the ceiling is measured with.
        copy_bytes: of the array that the bandwidth is measured with.
        repeated_steps: of the two trainings that are compared.
        inverter: its size, in the table of inverters.
        inverter_frames: 50 a second.
        recordings: of the corpus that is read in training, one minute each.
        port_size: the network that is compared with the port.
        for_cpu: whether a CPU can do that.
        row_seconds: what a measurement should take; None for a share of the run's time.
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
        """The sizes of a network in full."""
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
