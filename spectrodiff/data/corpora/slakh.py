"""Slakh2100 and Cerberus4: bands rendered with sample libraries, each instrument a stem.

Manilow et al., "Cutting Music Source Separation Some Slakh". A track is a folder with
`metadata.yaml`, `mix.flac`, `stems/SNN.flac` and `MIDI/SNN.mid`. The stems sum to the mix.
(`all_src.mid` beside them is not used: it need not be what was rendered.)
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

from spectrodiff.data.corpora.slakh_splits import Variant, track_folders
from spectrodiff.data.recordings import (
    Part,
    Plan,
    Skip,
    Track,
    merge_notes,
    read_mono,
    read_recorded_midi,
)
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import map_program_numbers

# The augmentation of Gardner et al., "MT3", section 3.3.
MAX_SUBMIXES = 10
MIN_SUBMIX_STEMS = 4

# Where Slakh's own table of instrument classes is not "the largest class program not above".
_CLASS_PROGRAMS = {2: 4, 6: 0, 7: 4, 31: 26, 44: 48, 45: 48, 59: 56, 72: 73}
_FIRST_CLASSLESS_PROGRAM = 96

# Piano, guitar and bass in Cerberus4: the program they get, and the programs that they are.
_CERBERUS_FAMILIES = {0: range(0, 8), 24: range(24, 32), 32: range(32, 40)}


@dataclasses.dataclass(frozen=True)
class Stem:
    """A stem that was rendered and has notes.

    Attributes:
        id: such as "S03".
        audio: its sound.
        midi: its notes.
        original_program: General MIDI program in the file that was rendered.
        program: program of its instrument class.
        is_drum: whether it is a drum kit.
    """

    id: str
    audio: Path
    midi: Path
    original_program: int
    program: int
    is_drum: bool

    def part(self) -> Part:
        """The stem as something to mix."""
        return Part(functools.partial(read_mono, self.audio), functools.partial(read_stem, self))


@dataclasses.dataclass(frozen=True)
class Band:
    """A track of Slakh, as its metadata describe it."""

    id: str
    stems: tuple[Stem, ...]
    mix: Path | None  # None if the stems are not all that sounds in it.


def plan(
    source: Path, variant: Variant = "redux", split_list: Path | None = None, seed: int = 0
) -> Plan:
    """Slakh2100: up to ten sub-mixes per training track; the whole mix elsewhere.

    A sub-mix holds at least four stems, drawn without repetition: how many uniformly, then which.
    Tracks with fewer stems are used whole.

    Args:
        source: an unpacked release.
        variant: which published split.
        split_list: its list (see `track_folders`).
        seed: for the sub-mixes.

    Raises:
        CorpusError: if the folder or the list is not what it should be.
    """

    def arrange(band: Band, split: str) -> Track | None:
        if split != "train":
            return _whole(band)
        parts = tuple(stem.part() for stem in band.stems)
        mixes = tuple(
            ("_".join([band.id, *(band.stems[index].id for index in subset)]), subset)
            for subset in draw_submixes(len(parts), seed, int(band.id.removeprefix("Track")))
        )
        return Track(band.id, parts, mixes)

    return _plan(source, variant, split_list, arrange)


def plan_cerberus4(
    source: Path, variant: Variant = "redux", split_list: Path | None = None
) -> Plan:
    """Cerberus4: all mixes of exactly one piano, guitar, bass and drum stem of a track.

    Their programs are 0, 24 and 32 (MT3, appendix B.3). Arguments and errors are those of `plan`.
    """
    return _plan(source, variant, split_list, lambda band, split: _quartets(band))


def draw_submixes(num_stems: int, seed: int, number: int) -> list[tuple[int, ...]]:
    """Different random subsets of stems; all that there are if there are at most ten.

    Args:
        num_stems: of the track.
        seed: of the whole corpus.
        number: of the track.
    """
    if num_stems <= MIN_SUBMIX_STEMS:
        return [tuple(range(num_stems))]
    sizes = range(MIN_SUBMIX_STEMS, num_stems + 1)
    wanted = min(MAX_SUBMIXES, sum(math.comb(num_stems, size) for size in sizes))
    random = np.random.default_rng([seed, number])
    subsets: dict[tuple[int, ...], None] = {}  # A dictionary keeps the order.
    while len(subsets) < wanted:
        size = random.integers(MIN_SUBMIX_STEMS, num_stems, endpoint=True)
        chosen = random.choice(num_stems, size, replace=False)
        subsets[tuple(sorted(int(stem) for stem in chosen))] = None
    return list(subsets)


def class_program(program: int) -> int | None:
    """The program of the Slakh class of a program, or None for effects, ethnic and the like."""
    if not 0 <= program < _FIRST_CLASSLESS_PROGRAM:
        return None
    mapped = _CLASS_PROGRAMS.get(program)
    return mapped if mapped is not None else int(map_program_numbers(np.array(program), "slakh"))


def read_stem(stem: Stem) -> Notes:
    """The notes of a stem, all played by its instrument class.

    Raises:
        Unusable: if there is no MIDI file.
        MidiError: if it cannot be read.
    """
    notes = read_recorded_midi(stem.midi)
    return dataclasses.replace(
        notes,
        program=np.full(len(notes), stem.program),
        is_drum=np.full(len(notes), stem.is_drum),
    )


def read_stems(stems: Sequence[Stem]) -> Notes:
    """The notes of several stems."""
    return merge_notes([read_stem(stem) for stem in stems])


def _plan(
    source: Path,
    variant: Variant,
    split_list: Path | None,
    arrange: Callable[[Band, str], Track | None],
) -> Plan:
    result = Plan({"train": [], "validation": [], "test": []})
    for split, folders in track_folders(source, variant, split_list).items():
        for folder in folders:
            band = _read_band(folder, result.remarks)
            if isinstance(band, Skip):
                result.skipped.append(band)
            elif track := arrange(band, split):
                result.splits[split].append(track)
            else:
                result.remarks["tracks without piano, guitar, bass and drums left out"] += 1
    return result


def _whole(band: Band) -> Track:
    if band.mix is None:
        parts = tuple(stem.part() for stem in band.stems)
        return Track(band.id, parts, ((band.id, tuple(range(len(parts)))),))
    audio = functools.partial(read_mono, band.mix)
    return Track.of_one(band.id, Part(audio, functools.partial(read_stems, band.stems)))


def _quartets(band: Band) -> Track | None:
    families = [
        [
            (stem, program)
            for stem in band.stems
            if not stem.is_drum and stem.original_program in family
        ]
        for program, family in _CERBERUS_FAMILIES.items()
    ]
    families.append([(stem, 0) for stem in band.stems if stem.is_drum])
    members = [member for family in families for member in family]
    quartets = tuple(
        ("_".join([band.id, *(stem.id for stem, _ in quartet)]), tuple(map(members.index, quartet)))
        for quartet in itertools.product(*families)
    )
    parts = tuple(dataclasses.replace(stem, program=program).part() for stem, program in members)
    return Track(band.id, parts, quartets) if quartets else None


def _read_band(folder: Path, remarks: Counter[str]) -> Band | Skip:
    path = folder / "metadata.yaml"
    if not path.is_file():
        return Skip(folder.name, "no metadata.yaml")
    try:
        described = _load_yaml(path)["stems"]
        entries = {str(id): dict(entry) for id, entry in described.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return Skip(folder.name, "unreadable metadata.yaml", str(error))
    stems = []
    num_rendered = 0
    for id, entry in sorted(entries.items()):
        # Only what was rendered can be heard in the mix.
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
    mix = _audio_file(folder / "mix")
    return Band(folder.name, tuple(stems), mix if len(stems) == num_rendered else None)


def _stem(folder: Path, id: str, entry: dict[str, Any]) -> Stem | str:
    """A stem, or why it cannot be used."""
    audio = _audio_file(folder / "stems" / id)
    midi = folder / "MIDI" / f"{id}.mid"
    if audio is None:
        return "no audio file"
    if not midi.is_file():
        return "no MIDI file"
    if entry.get("is_drum") or entry.get("inst_class") == "Drums":
        return Stem(id, audio, midi, 0, 0, is_drum=True)
    original = entry.get("program_num")
    program = class_program(original) if isinstance(original, int) else None
    if not isinstance(original, int) or program is None:
        return "unknown instrument"
    return Stem(id, audio, midi, original, program, is_drum=False)


def _audio_file(stem: Path) -> Path | None:
    """The FLAC file of the full release, or the WAV file of BabySlakh."""
    candidates = (stem.with_name(stem.name + suffix) for suffix in (".flac", ".wav"))
    return next((path for path in candidates if path.is_file()), None)


def _load_yaml(path: Path) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(path.read_bytes(), loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
