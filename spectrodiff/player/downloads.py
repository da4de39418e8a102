"""Files that the page offers: audio, stems and notes of a rendering."""

import re
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

from spectrodiff.audio.files import encode_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.writer import write_midi
from spectrodiff.player.renderings import Rendering


def audio_file(rendering: Rendering, suffix: str) -> bytes:
    """Returns the whole song as an audio file, after rendering what is left of it."""
    return encode_audio(rendering.audio(), SAMPLE_RATE, suffix)


def midi_file(rendering: Rendering) -> bytes:
    """Returns the notes of a take as a MIDI file: steered, with the song's instruments.

    Raises:
        MidiError: if all rows are muted.
    """
    notes = rendering.take.score.notes
    if not len(notes):
        raise MidiError(rendering.song.title, "rows that sound", "none")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "notes.mid"
        write_midi(notes, path)
        return path.read_bytes()


DOWNLOADS: dict[str, tuple[str, Callable[[Rendering], bytes]]] = {
    "audio.wav": ("audio/wav", lambda rendering: audio_file(rendering, ".wav")),
    "audio.flac": ("audio/flac", lambda rendering: audio_file(rendering, ".flac")),
    "notes.mid": ("audio/midi", midi_file),
}
"""Media type and maker of each file, by the last part of its address."""


def file_name(rendering: Rendering, download: str) -> str:
    """Returns the name that a download is saved under: letters, digits and a few marks."""
    title = unicodedata.normalize("NFKD", rendering.song.title)
    title = re.sub(r"\.(mid|midi|kar|rmi|smf)$", "", title, flags=re.IGNORECASE)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", title).strip("._") or "song"
    kind, suffix = download.split(".")
    return f"{stem}_{kind}.{suffix}" if kind == "stems" else f"{stem}.{suffix}"
