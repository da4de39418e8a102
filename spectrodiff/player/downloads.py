"""Files that the page offers: audio, stems and notes of a rendering."""

import io
import re
import unicodedata
import zipfile
from collections.abc import Callable

from spectrodiff.audio.encoding import encode_audio
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.music.midi.writer import encode_midi
from spectrodiff.player.renderings import Rendering, end_if
from spectrodiff.synthesis.stems import render_stems


def audio_file(rendering: Rendering, revision: int, suffix: str) -> bytes:
    """Returns the whole song as an audio file.

    Raises:
        ConfigError: if it is not all rendered, or the take has been steered since `revision`.
    """
    return encode_audio(rendering.audio(revision), SAMPLE_RATE, suffix)


def midi_file(rendering: Rendering) -> bytes:
    """Returns the notes of a take as a MIDI file: steered, with the song's instruments."""
    return encode_midi(rendering.take.score.notes)


def stems_file(rendering: Rendering, is_over: Callable[[], bool]) -> bytes:
    """Returns the instruments of a take, rendered apart, and their mix as a zip of WAV files.

    Args:
        rendering: the take, whose last settings hold for all of the song.
        is_over: asked now and then; True ends the rendering.

    Raises:
        MidiError: if the model knows none of the instruments.
        OverError: if nobody waits for it any more.
    """
    settings, notes = rendering.settings, rendering.take.score.notes
    stems = render_stems(
        rendering.synth,
        notes,
        seed=settings.seed,
        on_steps=end_if(is_over),
        **vars(settings.sampling),
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name, audio in stems.tracks().audio:
            archive.writestr(f"{name}.wav", encode_audio(audio, SAMPLE_RATE, ".wav", name=name))
    return packed.getvalue()


MEDIA_TYPES = {
    "audio.wav": "audio/wav",
    "audio.flac": "audio/flac",
    "notes.mid": "audio/midi",
    "stems.zip": "application/zip",
}
"""Media type of each file, by the last part of its address."""


def file_name(rendering: Rendering, download: str) -> str:
    """Returns the name that a download is saved under: letters, digits and a few marks."""
    # Letters lose their accents.
    title = unicodedata.normalize("NFKD", rendering.song.title)
    title = "".join(letter for letter in title if not unicodedata.combining(letter))
    title = re.sub(r"\.(mid|midi|kar|rmi|smf)$", "", title, flags=re.IGNORECASE)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", title).strip("._") or "song"
    kind, suffix = download.split(".")
    return f"{stem}_{kind}.{suffix}" if kind == "stems" else f"{stem}.{suffix}"
