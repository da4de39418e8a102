"""Slakh2100 and Cerberus4: multi-instrument music rendered with sample libraries, in stems.

Manilow et al., "Cutting Music Source Separation Some Slakh". A track is a folder with
`metadata.yaml`, `mix.flac`, `stems/SNN.flac` and `MIDI/SNN.mid`. The stems sum to the mix.
`all_src.mid` is not used, since it may differ from the notes that were rendered.

Where notes of one pitch and program overlap, the earlier one ends at the onset of the later one, as
in the released code for these two corpora: tokens cannot tell such notes apart. Training and
evaluation then use the same notes.
"""

import dataclasses
import functools
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.errors import first_line
from spectrodiff.core.files import read_regular
from spectrodiff.core.json_files import MAX_TEXT_BYTES
from spectrodiff.data.corpora.folders import MIDI_SUFFIXES, find_file
from spectrodiff.data.corpora.slakh_splits import Variant, track_folders
from spectrodiff.data.recordings import (
    SPLITS,
    Plan,
    RecordingGroup,
    Skip,
    StemReader,
    read_mono,
    read_pcm,
    read_recorded_midi,
)
from spectrodiff.music.notes import Notes, merge_notes
from spectrodiff.music.programs import map_program_numbers

# Augmentation with sub-mixes of Gardner et al., "MT3", section 3.3.
MAX_SUBMIXES = 10
MIN_SUBMIX_STEMS = 4

# Exceptions in Slakh's table of instrument classes to "the largest class program not above".
_CLASS_PROGRAMS = {2: 4, 6: 0, 7: 4, 31: 26, 44: 48, 45: 48, 59: 56, 72: 73}
_FIRST_CLASSLESS_PROGRAM = 96

# Levels of lists and maps in the metadata of a track, of which Slakh has three.
_MAX_DEPTH = 20
# Of the full release, and of BabySlakh.
_AUDIO_SUFFIXES = (".flac", ".wav")

# Piano, guitar and bass in Cerberus4: new program, and original programs.
_CERBERUS_FAMILIES = {0: range(0, 8), 24: range(24, 32), 32: range(32, 40)}


@dataclasses.dataclass(frozen=True)
class Stem:
    """Stem with audio and notes.

    Attributes:
        id: id in the track, such as "S03".
        audio: audio file.
        midi: MIDI file.
        original_program: General MIDI program of the rendered file.
        program: program of the instrument class.
        is_drum: whether the stem is a drum kit.
    """

    id: str
    audio: Path
    midi: Path
    original_program: int
    program: int
    is_drum: bool

    def reader(self) -> StemReader:
        """Returns a reader of the stem."""
        return StemReader(
            functools.partial(read_mono, self.audio), functools.partial(read_stem, self)
        )


@dataclasses.dataclass(frozen=True)
class Track:
    """Track of Slakh, described by its metadata.

    Attributes:
        id: name of its folder, such as "Track00001".
        stems: usable stems.
        mix: audio file of the mix; None if it contains unusable stems.
    """

    id: str
    stems: tuple[Stem, ...]
    mix: Path | None


def plan(
    source: Path, variant: Variant = "redux", split_list: Path | None = None, seed: int = 0
) -> Plan:
    """Plans Slakh2100: up to ten sub-mixes per training track; complete mixes in other splits.

    A sub-mix has at least four stems: their number is uniformly distributed, then the stems are
    sampled without replacement. Tracks with fewer stems are used completely.

    Args:
        source: the unpacked release.
        variant: published split.
        split_list: file that defines the split (see `track_folders`).
        seed: seed of the sub-mixes.

    Raises:
        CorpusError: if the folder or the list is invalid.
    """

    def to_group(track: Track, split: str) -> RecordingGroup | None:
        if split != "train":
            return _complete_mix(track)
        mixes = tuple(
            ("_".join([track.id, *(track.stems[index].id for index in subset)]), subset)
            for subset in sample_submixes(
                len(track.stems), seed, int(track.id.removeprefix("Track"))
            )
        )
        return RecordingGroup(track.id, tuple(stem.reader() for stem in track.stems), mixes)

    return _plan(source, variant, split_list, to_group)


def plan_cerberus4(
    source: Path, variant: Variant = "redux", split_list: Path | None = None
) -> Plan:
    """Plans Cerberus4: all mixes of one piano, one guitar, one bass and one drum stem of a track.

    Their programs become 0, 24 and 32 (MT3, appendix B.3). For arguments and errors see `plan`.
    """
    return _plan(source, variant, split_list, lambda track, split: _quartets(track))


def sample_submixes(num_stems: int, seed: int, number: int) -> list[tuple[int, ...]]:
    """Returns up to ten different random subsets of at least four stems.

    Args:
        num_stems: number of stems of the track.
        seed: seed of the corpus.
        number: number of the track.

    Returns:
        Stem indices of each subset; all stems if there are at most four.
    """
    if num_stems <= MIN_SUBMIX_STEMS:
        return [tuple(range(num_stems))]
    sizes = range(MIN_SUBMIX_STEMS, num_stems + 1)
    wanted = min(MAX_SUBMIXES, sum(math.comb(num_stems, size) for size in sizes))
    random = np.random.default_rng([seed, number])
    subsets: dict[tuple[int, ...], None] = {}  # an ordered set
    while len(subsets) < wanted:
        size = random.integers(MIN_SUBMIX_STEMS, num_stems, endpoint=True)
        chosen = random.choice(num_stems, size, replace=False)
        subsets[tuple(sorted(int(stem) for stem in chosen))] = None
    return list(subsets)


def class_program(program: int) -> int | None:
    """Returns the Slakh class program of a program; None for programs without a class."""
    if not 0 <= program < _FIRST_CLASSLESS_PROGRAM:
        return None
    mapped = _CLASS_PROGRAMS.get(program)
    return mapped if mapped is not None else int(map_program_numbers(np.array(program), "slakh"))


def read_stem(stem: Stem) -> Notes:
    """Reads the notes of a stem, with the program of its instrument class.

    Raises:
        Unusable: if the MIDI file is missing.
        MidiError: if the MIDI file cannot be read.
    """
    notes = read_recorded_midi(stem.midi)
    return dataclasses.replace(
        notes,
        program=np.full(len(notes), stem.program),
        is_drum=np.full(len(notes), stem.is_drum),
    )


def read_stems(stems: Sequence[Stem]) -> Notes:
    """Reads and merges the notes of several stems."""
    return merge_notes([read_stem(stem) for stem in stems])


def _plan(
    source: Path,
    variant: Variant,
    split_list: Path | None,
    to_group: Callable[[Track, str], RecordingGroup | None],
) -> Plan:
    result = Plan({split: [] for split in SPLITS})
    for split, folders in track_folders(source, variant, split_list).items():
        for folder in folders:
            track = _read_metadata(folder, result.remarks)
            if isinstance(track, Skip):
                result.skipped.append(track)
            elif group := to_group(track, split):
                result.splits[split].append(dataclasses.replace(group, trims_overlaps=True))
            else:
                result.remarks["tracks without piano, guitar, bass and drums left out"] += 1
    return result


def _complete_mix(track: Track) -> RecordingGroup:
    if track.mix is None:
        stems = tuple(stem.reader() for stem in track.stems)
        return RecordingGroup(track.id, stems, ((track.id, tuple(range(len(stems)))),))
    audio = functools.partial(read_pcm, track.mix)
    notes = functools.partial(read_stems, track.stems)
    return RecordingGroup.single(track.id, StemReader(audio, notes))


def _quartets(track: Track) -> RecordingGroup | None:
    families = [
        [
            (stem, program)
            for stem in track.stems
            if not stem.is_drum and stem.original_program in family
        ]
        for program, family in _CERBERUS_FAMILIES.items()
    ]
    families.append([(stem, 0) for stem in track.stems if stem.is_drum])
    members = [member for family in families for member in family]
    mixes = tuple(
        (
            "_".join([track.id, *(stem.id for stem, _ in quartet)]),
            tuple(map(members.index, quartet)),
        )
        for quartet in itertools.product(*families)
    )
    stems = tuple(dataclasses.replace(stem, program=program).reader() for stem, program in members)
    return RecordingGroup(track.id, stems, mixes, needs_all=True) if mixes else None


def _read_metadata(folder: Path, remarks: Counter[str]) -> Track | Skip:
    path = folder / "metadata.yaml"
    if not path.is_file():
        return Skip(folder.name, "no metadata.yaml")
    try:
        entries = {str(id): dict(entry) for id, entry in _load_yaml(path)["stems"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return Skip(folder.name, "unreadable metadata.yaml", first_line(error))
    stems = []
    num_rendered = 0
    for id, entry in sorted(entries.items()):
        # Stems that were not rendered are not in the mix.
        if not entry.get("audio_rendered"):
            remarks["stems that were not rendered left out"] += 1
            continue
        num_rendered += 1
        stem = _stem(folder, id, entry)
        if isinstance(stem, Stem):
            stems.append(stem)
        else:
            remarks[f"stems left out: {stem}"] += 1
    if not stems:
        return Skip(folder.name, "no usable stem")
    mix = find_file(folder / "mix", _AUDIO_SUFFIXES)
    return Track(folder.name, tuple(stems), mix if len(stems) == num_rendered else None)


def _stem(folder: Path, id: str, entry: dict[str, Any]) -> Stem | str:
    """Returns a stem, or the reason why it is unusable."""
    audio = find_file(folder / "stems" / id, _AUDIO_SUFFIXES)
    midi = find_file(folder / "MIDI" / id, MIDI_SUFFIXES)
    if audio is None:
        return "no audio file"
    if midi is None:
        return "no MIDI file"
    if entry.get("is_drum") or entry.get("inst_class") == "Drums":
        return Stem(id, audio, midi, 0, 0, is_drum=True)
    original = entry.get("program_num")
    program = class_program(original) if isinstance(original, int) else None
    if not isinstance(original, int) or program is None:
        return "unknown instrument"
    return Stem(id, audio, midi, original, program, is_drum=False)


def _load_yaml(path: Path) -> Any:
    import yaml

    # The C loader is much faster, but not available in all builds.
    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    text, depth = read_regular(path, MAX_TEXT_BYTES), 0
    try:
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            # The C loader ends the process where lists are nested by the ten thousand, and merged
            # entries can grow without bounds.
            if depth > _MAX_DEPTH or getattr(event, "value", None) == "<<":
                raise ValueError("not as simple as that of a track")
        return yaml.load(text, loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
