"""Songs that benchmarks of rendering share, and the settings they render them with."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff import read_midi
from spectrodiff.music.notes import NOTE_COLUMNS, Notes

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
GAP_SECONDS = 0.5  # between joined songs

# A student with fewer steps has the network of its teacher, so the teacher's weights time it, too.
SETTINGS: dict[str, dict[str, Any]] = {
    "10 guided steps": {
        "sampler": "dpmpp", "steps": 10, "guidance": 1.5, "guidance_times": (0.0, 1.0),
    },
    "3 steps, the last guided": {
        "sampler": "dpmpp", "steps": 3, "guidance": 1.5, "guidance_times": (0.0, 0.35),
    },
    "4 unguided steps": {"sampler": "ddim", "steps": 4, "guidance": 1.0},
    "2 unguided steps": {"sampler": "ddim", "steps": 2, "guidance": 1.0},
}  # fmt: skip


def example_songs() -> list[Notes]:
    """Returns the songs of examples/."""
    return [read_midi(path) for path in sorted(EXAMPLES.glob("*.mid"))]


def eight_songs() -> list[Notes]:
    """Returns eight songs of about half a minute, written by the composer."""
    return [read_midi(EXAMPLES / "held_back" / "test" / f"composed_{i}.mid") for i in range(8)]


def long_song(seconds: float) -> Notes:
    """Joins the examples, again and again, to a song of at least some seconds."""
    songs, joined = example_songs(), []
    start = 0.0
    while start < seconds:
        song = songs[len(joined) % len(songs)]
        joined.append(moved(song, start))
        start += song.total_seconds + GAP_SECONDS
    columns = {
        name: np.concatenate([getattr(song, name) for song in joined]) for name in NOTE_COLUMNS
    }
    return Notes(**columns, total_seconds=start - GAP_SECONDS)


def moved(song: Notes, seconds: float) -> Notes:
    """Returns a song that starts later."""
    return dataclasses.replace(
        song,
        onset_seconds=song.onset_seconds + seconds,
        offset_seconds=song.offset_seconds + seconds,
        total_seconds=song.total_seconds + seconds,
    )
