"""Settings of compiled programs that suit a kind of device; they change times, not results.

An accelerator computes fast and compiles slowly, so it gets few programs, and programs that need
nothing from the host. A CPU compiles faster, but padding costs it as much as notes do.
"""

import dataclasses

from jax.sharding import Mesh

from spectrodiff.core.runtime import num_cores
from spectrodiff.models.padding import COARSE_NOTE_BUCKETS, NOTE_BUCKETS


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Settings of the programs that generate segments.

    Attributes:
        note_buckets: lengths that tokens are padded to; each is one program.
        static_steps: True if the number of steps per call is part of the program. Otherwise it is
            an argument, and a GPU asks the host after every step whether to go on.
        unrolled_segments: number of segments per device up to which layers are compiled one by one
            (see `models.denoiser.Decoder.unrolled`), instead of as a loop.
        unrolled_steps: number of steps per segment from which on that is done: the compilation
            takes three times as long.
        rows: maximum number of songs per batch, of those that are rendered side by side; None for
            all of them. A CPU gains little from more rows than cores, and the fewer there are, the
            more alike their numbers of notes can be.
    """

    note_buckets: tuple[int, ...] = NOTE_BUCKETS
    static_steps: bool = False
    unrolled_segments: int = 0
    unrolled_steps: int = 100
    rows: int | None = None


CPU = Tuning()
ACCELERATOR = Tuning(COARSE_NOTE_BUCKETS, static_steps=True, unrolled_segments=1)


def tuning_for(mesh: Mesh) -> Tuning:
    """Returns the settings for the devices of a mesh."""
    if mesh.devices.flat[0].platform != "cpu":
        return ACCELERATOR
    return dataclasses.replace(CPU, rows=num_cores()) if mesh.size == 1 else CPU
