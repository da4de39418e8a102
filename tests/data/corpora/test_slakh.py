import json
from math import comb

import numpy as np
import pytest
import soundfile

from spectrodiff.audio.samples import to_int16
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import slakh
from spectrodiff.data.recordings import read_group, read_mono
from spectrodiff.music.programs import SLAKH_CLASSES
from tests.support.corpora import write_notes, write_slakh_track

# Piano, guitar, electric bass, strings, drums; stem numbers have gaps.
STEMS = {
    "S00": {"program": 1},
    "S01": {"program": 30},
    "S02": {"program": 34},
    "S04": {"program": 44},
    "S05": {"is_drum": True},
}


def ids(plan) -> dict[str, list[str]]:
    return {split: [group.id for group in groups] for split, groups in plan.splits.items()}


def test_the_redux_split_is_that_of_the_folders(tmp_path):
    for folder in ("train/Track00001", "validation/Track01501", "omitted/Track00049"):
        write_slakh_track(tmp_path / folder, STEMS)
    (tmp_path / "test").mkdir()
    expected = {"train": ["Track00001"], "validation": ["Track01501"], "test": []}
    assert ids(slakh.plan(tmp_path)) == expected


def test_the_original_split_counts_track_numbers(tmp_path):
    # Omitted tracks of the redux release are used too. These are the first and last tracks of the
    # splits: 1500 for training, 375 for validation, 225 for testing.
    for folder in ("train/Track01500", "omitted/Track01501", "validation/Track01875"):
        write_slakh_track(tmp_path / folder, STEMS)
    write_slakh_track(tmp_path / "test/Track01876", STEMS)
    assert ids(slakh.plan(tmp_path, "original")) == {
        "train": ["Track01500"],
        "validation": ["Track01501", "Track01875"],
        "test": ["Track01876"],
    }


def test_a_list_of_slakh_utils_moves_and_omits(tmp_path):
    for number in (1, 3, 49, 1501):
        write_slakh_track(tmp_path / f"Track{number:05d}", STEMS)
    entries = {
        "Track00001": {"action": None},
        "Track00003": {
            "action": "move",
            "source_split": "train",
            "destination_split": "test",
        },
        "Track00049": {"action": "omit", "source_split": "train"},
        "Track01501": {"action": None},
        "Track02100": {"action": None},  # not in the folder: the corpus may be incomplete
    }
    (tmp_path / "splits_v2.json").write_text(json.dumps(entries))
    expected = {"train": ["Track00001"], "validation": ["Track01501"], "test": ["Track00003"]}
    assert ids(slakh.plan(tmp_path, "split2", tmp_path / "splits_v2.json")) == expected


def test_a_list_may_name_tracks_by_split(tmp_path):
    write_slakh_track(tmp_path / "Track00001", STEMS)
    (tmp_path / "list.json").write_text(json.dumps({"test": ["Track00001"]}))
    expected = {"train": [], "validation": [], "test": ["Track00001"]}
    assert ids(slakh.plan(tmp_path, "split2", tmp_path / "list.json")) == expected


def test_lists_and_folders_that_do_not_fit_are_refused(tmp_path):
    (tmp_path / "tracks").mkdir()
    with pytest.raises(CorpusError, match="no TrackNNNNN folders"):
        slakh.plan(tmp_path)
    write_slakh_track(tmp_path / "train/Track00001", STEMS)
    with pytest.raises(CorpusError, match=r"splits_v2\.json"):
        slakh.plan(tmp_path, "split2")
    path = tmp_path / "list.json"
    for text, expected in [
        ("not JSON", "a list of splits"),
        ("[]", "a list of splits"),
        ('{"Track00002": {"action": null}}', "an entry for Track00001"),
        ('{"Track00001": {"action": "keep"}}', "an action of null, omit or move"),
    ]:
        path.write_text(text)
        with pytest.raises(CorpusError, match=expected):
            slakh.plan(tmp_path, "redux", path)
    write_slakh_track(tmp_path / "test/Track00001", STEMS)
    with pytest.raises(CorpusError, match="each track once"):
        slakh.plan(tmp_path)


def test_the_original_release_is_not_taken_for_redux(tmp_path):
    for number in range(1, 1712):
        (tmp_path / f"train/Track{number:05d}").mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"redux\.json"):
        slakh.plan(tmp_path)


def test_the_complete_mix_is_used_outside_training(tmp_path):
    write_slakh_track(tmp_path / "test/Track01876", STEMS)
    (group,) = slakh.plan(tmp_path).splits["test"]
    (recording,) = read_group(group).recordings
    assert recording.id == "Track01876"
    expected = to_int16(read_mono(tmp_path / "test/Track01876/mix.flac"))
    np.testing.assert_array_equal(recording.audio, expected)
    # Class programs: 1 is an acoustic piano (0), 30 a distorted guitar (29), 34 an electric bass
    # (33), 44 (tremolo strings) a string ensemble (48). Pitches are those of MIDI/SNN.mid (60, 61,
    # ...), not of all_src.mid (12).
    by_pitch = dict(zip(recording.notes.pitch, recording.notes.program, strict=True))
    assert by_pitch == {60: 0, 61: 29, 62: 33, 63: 48, 64: 0}
    np.testing.assert_array_equal(recording.notes.is_drum, recording.notes.pitch == 64)


def test_training_tracks_give_sub_mixes_that_are_sums_of_stems(tmp_path):
    folder = tmp_path / "train/Track00007"
    write_slakh_track(folder, STEMS)
    (group,) = slakh.plan(tmp_path).splits["train"]
    recordings = read_group(group).recordings
    # Five stems: five subsets of four, and all five.
    assert len(recordings) == len({recording.id for recording in recordings}) == 6
    for recording in recordings:
        name, *stems = recording.id.split("_")
        assert name == "Track00007"
        assert len(stems) >= 4
        expected = sum(read_mono(folder / "stems" / f"{stem}.flac") for stem in stems)
        np.testing.assert_array_equal(recording.audio, to_int16(expected))
        pitches = [60 + list(STEMS).index(stem) for stem in stems]
        assert sorted(recording.notes.pitch) == pitches
    # The sum of all stems is the mix, up to the rounding of six 16-bit files.
    complete = next(recording for recording in recordings if len(recording.notes) == 5)
    mix = to_int16(read_mono(folder / "mix.flac"))
    assert np.abs(complete.audio.astype(int) - mix).max() <= 4


@pytest.mark.parametrize("num_stems", [1, 4, 5, 6, 12])
def test_sub_mixes_are_different_and_at_most_ten(num_stems):
    subsets = slakh.sample_submixes(num_stems, seed=0, number=1)
    possible = sum(comb(num_stems, size) for size in range(4, num_stems + 1))
    assert len(subsets) == len(set(subsets)) == (min(10, possible) or 1)
    for subset in subsets:
        assert list(subset) == sorted(set(subset))
        assert min(4, num_stems) <= len(subset)
        assert max(subset) < num_stems
    assert subsets == slakh.sample_submixes(num_stems, seed=0, number=1)


def test_sub_mixes_depend_on_seed_and_track():
    samples = [slakh.sample_submixes(12, *which) for which in ((0, 1), (1, 1), (0, 2))]
    assert samples[0] != samples[1] != samples[2] != samples[0]


def test_class_programs_agree_with_slakh():
    programs = {slakh.class_program(program) for program in range(96)}
    assert programs == set(SLAKH_CLASSES)
    # Slakh's table of classes, which counts programs from 1.
    electric_pianos, string_ensembles, pipes = {3, 5, 6, 8}, {45, 46, 49, 50}, range(73, 81)
    for one_based, program in (
        *((number, 4) for number in electric_pianos),
        *((number, 48) for number in string_ensembles),
        *((number, 73) for number in pipes),
        (7, 0),  # harpsichord: acoustic piano
        (32, 26),  # guitar harmonics: clean electric guitar
        (60, 56),  # muted trumpet: trumpet
    ):
        assert slakh.class_program(one_based - 1) == program
    assert slakh.class_program(96) is None
    assert slakh.class_program(128) is None


def test_stems_that_cannot_be_used_are_left_out_of_the_mix_too(tmp_path):
    folder = tmp_path / "test/Track01876"
    band = {
        **STEMS,
        "S06": {"program": 10, "rendered": False},
        "S07": {"program": 120},
        "S08": {"program": 40},
    }
    write_slakh_track(folder, band)
    (folder / "MIDI/S08.mid").unlink()
    plan = slakh.plan(tmp_path)
    assert plan.remarks == {
        "stems that were not rendered left out": 1,
        "stems left out: unknown instrument": 1,
        "stems left out: no MIDI file": 1,
    }
    (recording,) = read_group(plan.splits["test"][0]).recordings
    # Stems without labels must not be audible, so the recording is mixed from labeled stems.
    expected = sum(read_mono(folder / "stems" / f"{stem}.flac") for stem in STEMS)
    np.testing.assert_array_equal(recording.audio, to_int16(expected))
    assert len(recording.notes) == len(STEMS)


def test_the_mix_is_used_in_spite_of_stems_that_were_not_rendered(tmp_path):
    write_slakh_track(tmp_path / "test/Track01876", {**STEMS, "S06": {"rendered": False}})
    (group,) = slakh.plan(tmp_path).splits["test"]
    assert len(group.stems) == 1  # the mix itself


def test_babyslakh_has_wav_files_and_no_split_folders(tmp_path):
    folder = tmp_path / "Track00001"
    write_slakh_track(folder, STEMS)
    for path in [*folder.glob("stems/*.flac"), folder / "mix.flac"]:
        samples, rate = soundfile.read(path)
        soundfile.write(path.with_suffix(".wav"), samples, rate)
        path.unlink()
    (group,) = slakh.plan(tmp_path).splits["train"]
    assert len(read_group(group).recordings) == 6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no metadata.yaml"),
        ("stems: [", "unreadable metadata.yaml"),
        ("UUID: 1", "unreadable metadata.yaml"),
        ("stems: {S00: {audio_rendered: false}}", "no usable stem"),
        ("stems: !!python/object/apply:os.getcwd []", "unreadable metadata.yaml"),
    ],
)
def test_a_track_with_bad_metadata_is_skipped(tmp_path, text, reason):
    write_slakh_track(tmp_path / "train/Track00001", STEMS)
    folder = tmp_path / "train/Track00002"
    folder.mkdir()
    if text is not None:
        (folder / "metadata.yaml").write_text(text)
    plan = slakh.plan(tmp_path)
    assert ids(plan)["train"] == ["Track00001"]
    assert [(skip.id, skip.reason) for skip in plan.skipped] == [("Track00002", reason)]


def test_cerberus4_takes_every_quartet(tmp_path):
    folder = tmp_path / "test/Track01876"
    band = {
        "S00": {"program": 7},  # a piano (programs 0..7)
        "S01": {"program": 24},
        "S02": {"program": 31},  # two guitars
        "S03": {"program": 39},  # a bass
        "S04": {"program": 40},  # a violin: in no quartet
        "S05": {"is_drum": True},
        "S06": {"program": 2},  # another piano
    }
    write_slakh_track(folder, band)
    # This track has only three of the four instruments, so there is no mix.
    write_slakh_track(tmp_path / "test/Track01877", {id: band[id] for id in ("S00", "S01", "S05")})
    plan = slakh.plan_cerberus4(tmp_path)
    assert plan.remarks == {"tracks without piano, guitar, bass and drums left out": 1}
    (group,) = plan.splits["test"]
    recordings = read_group(group).recordings
    assert {recording.id for recording in recordings} == {
        "Track01876_S00_S01_S03_S05",
        "Track01876_S00_S02_S03_S05",
        "Track01876_S06_S01_S03_S05",
        "Track01876_S06_S02_S03_S05",
    }
    for recording in recordings:
        stems = recording.id.split("_")[1:]
        expected = sum(read_mono(folder / "stems" / f"{stem}.flac") for stem in stems)
        np.testing.assert_array_equal(recording.audio, to_int16(expected))
        pitches = [60 + int(stem[1:]) for stem in stems]  # piano, guitar, bass, drums
        table = {
            pitch: (program, is_drum)
            for pitch, program, is_drum in zip(
                recording.notes.pitch, recording.notes.program, recording.notes.is_drum, strict=True
            )
        }
        pitched = {pitch: program for pitch, (program, is_drum) in table.items() if not is_drum}
        assert pitched == dict(zip(pitches[:3], (0, 24, 32), strict=True))
        assert [pitch for pitch, (_, is_drum) in table.items() if is_drum] == pitches[3:]


def test_a_damaged_stem_affects_only_the_mixes_that_contain_it(tmp_path):
    folder = tmp_path / "train/Track00001"
    write_slakh_track(folder, STEMS)
    (folder / "MIDI/S00.mid").write_bytes(b"MThd")
    (group,) = slakh.plan(tmp_path).splits["train"]
    outcome = read_group(group)
    # One of the six sub-mixes does not contain S00.
    assert [recording.id for recording in outcome.recordings] == ["Track00001_S01_S02_S04_S05"]
    assert {skip.reason for skip in outcome.skipped} == {"expected a MIDI file"}
    assert len(outcome.skipped) == 5
    write_notes(folder / "MIDI/S00.mid", (0.0, 0.25, 60))
    assert len(read_group(group).recordings) == 6


def test_a_silent_stem_is_left_out_of_sub_mixes_but_not_of_quartets(tmp_path):
    folder = tmp_path / "train/Track00001"
    write_slakh_track(folder, STEMS)
    soundfile.write(folder / "stems/S02.flac", np.zeros(22_050), 44_100)
    (group,) = slakh.plan(tmp_path).splits["train"]
    outcome = read_group(group)
    # Of the six sub-mixes, one is without S02; all five stems sound the same as that one.
    assert len(outcome.recordings) == 5
    assert [skip.reason for skip in outcome.skipped] == [
        "the same as another one without its silent stems"
    ]
    for recording in outcome.recordings:
        stems = [stem for stem in recording.id.split("_")[1:] if stem != "S02"]
        expected = sum(read_mono(folder / "stems" / f"{stem}.flac") for stem in stems)
        np.testing.assert_array_equal(recording.audio, to_int16(expected))
        assert 62 not in recording.notes.pitch
    (group,) = slakh.plan_cerberus4(tmp_path).splits["train"]
    (skip,) = read_group(group).skipped
    assert (skip.id, skip.reason) == ("Track00001_S00_S01_S02_S05", "silent audio")


def test_suffixes_may_be_in_capitals(tmp_path):
    folder = tmp_path / "train/Track00001"
    write_slakh_track(folder, STEMS)
    for path in (*folder.rglob("*.mid"), *folder.rglob("*.flac")):
        path.rename(path.with_suffix(path.suffix.upper()))
    (group,) = slakh.plan(tmp_path).splits["train"]
    assert len(read_group(group).recordings) == 6


def test_notes_end_at_the_next_onset_of_their_pitch_and_program(tmp_path):
    """Two pianos and a guitar play one pitch; overlaps are between the pianos only."""
    for split in ("train", "test"):
        folder = tmp_path / split / ("Track00001" if split == "train" else "Track01876")
        write_slakh_track(folder, {"S00": {}, "S01": {"program": 1}, "S02": {"program": 24}})
        write_notes(folder / "MIDI/S00.mid", (0.1, 0.3, 60), (0.4, 0.45, 60))
        write_notes(folder / "MIDI/S01.mid", (0.2, 0.35, 60))
        write_notes(folder / "MIDI/S02.mid", (0.15, 0.5, 60))
    plan = slakh.plan(tmp_path)
    for split in ("train", "test"):
        outcome = read_group(plan.splits[split][0])
        [notes] = [recording.notes for recording in outcome.recordings]
        rows = list(zip(notes.onset_seconds, notes.offset_seconds, notes.program, strict=True))
        expected = [(0.1, 0.2, 0), (0.15, 0.5, 24), (0.2, 0.35, 0), (0.4, 0.45, 0)]
        np.testing.assert_allclose(rows, expected, atol=1e-3)
        [remark] = outcome.remarks
        assert (remark.text, remark.number) == ("notes cut at the next onset of their pitch", 1)


@pytest.mark.parametrize(
    "text",
    [
        # The C loader of PyYAML ends the process.
        "[" * 500_000,
        "stems:\n  S00: " + "{a: " * 200_000,
        "- " * 400_000,
        # Each line has ten times the entries of the one before.
        "a0: &a0 {x: 1}\n"
        + "\n".join(
            f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 40)
        ),
    ],
)
def test_metadata_beyond_reason_are_left_out(text, tmp_path):
    write_slakh_track(tmp_path / "train/Track00001", STEMS)
    write_slakh_track(tmp_path / "train/Track00002", STEMS)
    (tmp_path / "train/Track00001/metadata.yaml").write_text(text)
    planned = slakh.plan(tmp_path)
    assert ids(planned)["train"] == ["Track00002"]
    (skip,) = planned.skipped
    assert (skip.id, skip.reason) == ("Track00001", "unreadable metadata.yaml")
