"""Folder of recordings: `NAME.wav` (.flac, .ogg, .mp3) with `NAME.mid` (.midi, .kar, .rmi)."""

import dataclasses
import functools
from pathlib import Path

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora.folders import (
    AUDIO_SUFFIXES,
    MIDI_SUFFIXES,
    group_by_name,
    require_folder,
    split_groups,
)
from spectrodiff.data.recordings import (
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    read_pcm,
    read_recorded_midi,
)


def plan(source: Path, validation_share: float = 0.1) -> Plan:
    """Plans the corpus: all pairs in a folder and its subfolders.

    Remarks name the recordings whose onsets do not fit those of their notes.

    Args:
        source: the folder. Its subfolders may be the splits (see `folders.split_groups`).
        validation_share: otherwise, share of the pairs for validation, chosen by name.

    Raises:
        CorpusError: if there are no pairs.
    """
    require_folder(source, "a folder of recordings", [])
    named, skipped = group_by_name(source, (*AUDIO_SUFFIXES, *MIDI_SUFFIXES))
    groups = {}
    for id, files in named.items():
        audio = [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]
        midi = [path for path in files if path.suffix.lower() in MIDI_SUFFIXES]
        if len(audio) == len(midi) == 1:
            stem = StemReader(
                functools.partial(read_pcm, audio[0]),
                functools.partial(read_recorded_midi, midi[0]),
            )
            single = RecordingGroup.single(id, stem)
            groups[id] = dataclasses.replace(single, checks_onsets=True)
        elif audio and midi:
            names = ", ".join(path.name for path in files)
            skipped.append(Skip(id, "several audio or MIDI files with the same name", names))
        else:
            skipped.append(Skip(id, "audio without MIDI" if audio else "MIDI without audio"))
    if not groups:
        raise CorpusError(source, "audio files with MIDI files of the same name", "none")
    splits, outside = split_groups(groups, validation_share)
    return Plan(splits, skipped + outside)
