"""Music rendered with a soundfont: your MIDI files, or pieces by the seeded composer."""

import dataclasses
import functools
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spectrodiff.audio.files import read_audio, write_audio
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import ComposeSettings
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import AudioError, CorpusError, OutputError
from spectrodiff.data.corpora.pairs import MIDI_SUFFIXES, group_by_name, split_tracks
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import Part, Plan, Track, require_folder
from spectrodiff.music.notes import Notes, read_midi

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Studio:
    """Renders pieces, and keeps each until the corpus is complete.

    Attributes:
        renderer: the instruments.
        rendered: a folder for finished pieces, from which an interrupted preparation goes on.
    """

    renderer: SoundfontRenderer
    rendered: Path

    def play(self, read_notes: Callable[[], Notes]) -> np.ndarray:
        """The sound of a piece, float32 [samples] at 16 kHz.

        Raises:
            MidiError: if its notes cannot be read.
            CorpusError: if it cannot be rendered.
        """
        notes = read_notes()
        path = self.rendered / f"{self._fingerprint(notes)}.flac"
        if path.is_file():
            try:
                return read_audio(path, SAMPLE_RATE)
            except AudioError as error:
                logger.warning("rendered again: %s", error)
        audio = self.renderer.render(notes).astype(np.float32) / 32768
        try:
            write_audio(path, audio, SAMPLE_RATE)
        except OutputError as error:
            # Needed only if the preparation should be interrupted.
            logger.warning("a rendered piece is not kept: %s", error)
        return audio

    def _fingerprint(self, notes: Notes) -> str:
        """Depends on all that can be heard."""
        digest = hashlib.sha256(repr(self.renderer).encode())
        for field in dataclasses.fields(notes):
            digest.update(np.asarray(getattr(notes, field.name)).tobytes())
        return digest.hexdigest()[:32]


def plan_composed(
    studio: Studio,
    settings: ComposeSettings,
    pieces: int,
    seed: int,
    validation_share: float = 0.1,
) -> Plan:
    """Pieces 0 to `pieces - 1` of the composer's series `seed`; splits by the hash of the names."""
    notes = {
        f"seed{seed}-{index:06d}": functools.partial(compose, seed, settings, index)
        for index in range(pieces)
    }
    tracks = {id: _track(studio, id, read_notes) for id, read_notes in notes.items()}
    return Plan(split_tracks(None, tracks, validation_share))


def plan_midi(studio: Studio, source: Path, validation_share: float = 0.1) -> Plan:
    """All MIDI files in a folder and its subfolders; splits as for pairs.

    Raises:
        CorpusError: if there are none.
    """
    require_folder(source, "a folder of MIDI files", [])
    files = group_by_name(source, MIDI_SUFFIXES)
    if not files:
        raise CorpusError(source, "MIDI files", "none")
    tracks = {
        id: _track(studio, id, functools.partial(read_midi, paths[0]))
        for id, paths in files.items()
    }
    return Plan(split_tracks(source, tracks, validation_share))


def _track(studio: Studio, id: str, read_notes: Callable[[], Notes]) -> Track:
    return Track.of_one(id, Part(functools.partial(studio.play, read_notes), read_notes))
