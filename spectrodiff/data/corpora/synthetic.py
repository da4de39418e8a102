"""Songs rendered with a soundfont: a folder of MIDI files, or composed songs."""

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
from spectrodiff.data.corpora.folders import (
    MIDI_SUFFIXES,
    group_by_name,
    require_folder,
    split_by_hash,
    split_groups,
)
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import (
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    Unusable,
    read_recorded_midi,
)
from spectrodiff.music.midi.reader import length
from spectrodiff.music.notes import NOTE_COLUMNS, Notes

logger = logging.getLogger(__name__)

# A small file with one misplaced end can last for hours, which would outweigh all other songs.
_MAX_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class CachedRenderer:
    """Soundfont renderer that caches audio files until the corpus is complete.

    Attributes:
        renderer: renders the songs.
        cache: folder of rendered songs, with which a stopped preparation continues.
    """

    renderer: SoundfontRenderer
    cache: Path

    def render(self, read_notes: Callable[[], Notes]) -> np.ndarray:
        """Renders a song, or reads it from the cache; float32 [samples] at 16 kHz.

        Raises:
            Unusable: if the song is longer than an hour.
            MidiError: if the notes cannot be read.
            CorpusError: if the song cannot be rendered.
        """
        notes = read_notes()
        if notes.total_seconds > _MAX_SECONDS:
            raise Unusable("song longer than an hour", length(notes.total_seconds))
        path = self.cache / f"{self._fingerprint(notes)}.flac"
        if path.is_file():
            try:
                return read_audio(path, SAMPLE_RATE)
            except AudioError as error:
                logger.warning("rendering again: %s", error)
        audio = self.renderer.render(notes).astype(np.float32) / 32768
        try:
            write_audio(path, audio, SAMPLE_RATE)
        except OutputError as error:
            # The cache is needed only after an interruption.
            logger.warning("a rendered song is not cached: %s", error)
        return audio

    def _fingerprint(self, notes: Notes) -> str:
        """Returns a hash of everything that determines the audio."""
        digest = hashlib.sha256(repr(self.renderer).encode())
        for name in (*NOTE_COLUMNS, "total_seconds"):
            digest.update(np.asarray(getattr(notes, name)).tobytes())
        return digest.hexdigest()[:32]


def plan_composed(
    renderer: CachedRenderer,
    settings: ComposeSettings,
    songs: int,
    seed: int,
    validation_share: float = 0.1,
) -> Plan:
    """Plans a corpus of composed songs.

    Args:
        renderer: renders the songs.
        settings: constraints on the songs.
        songs: number of songs.
        seed: seed of the composer.
        validation_share: share of the songs for validation, chosen by the hash of their names.
    """
    notes = {
        f"seed{seed}-{index:06d}": functools.partial(compose, seed, settings, index)
        for index in range(songs)
    }
    groups = {id: _group(renderer, id, read_notes) for id, read_notes in notes.items()}
    return Plan(split_by_hash(groups, validation_share))


def plan_midi(renderer: CachedRenderer, source: Path, validation_share: float = 0.1) -> Plan:
    """Plans a corpus of all MIDI files in a folder and its subfolders.

    Args:
        renderer: renders the files.
        source: folder of MIDI files; its subfolders may be the splits (see `folders.split_groups`).
        validation_share: otherwise, share of the files for validation, chosen by name.

    Raises:
        CorpusError: if there are no MIDI files.
    """
    require_folder(source, "a folder of MIDI files", [])
    named, skipped = group_by_name(source, MIDI_SUFFIXES)
    groups = {}
    for id, files in named.items():
        if len(files) == 1:
            read_notes = functools.partial(read_recorded_midi, files[0])
            groups[id] = _group(renderer, id, read_notes)
        else:
            names = ", ".join(path.name for path in files)
            skipped.append(Skip(id, "several MIDI files with the same name", names))
    if not groups:
        raise CorpusError(source, "MIDI files", "none")
    splits, outside = split_groups(groups, validation_share)
    return Plan(splits, skipped + outside)


def _group(renderer: CachedRenderer, id: str, read_notes: Callable[[], Notes]) -> RecordingGroup:
    audio = functools.partial(renderer.render, read_notes)
    return RecordingGroup.single(id, StemReader(audio, read_notes))
