"""Tiny corpora in the layout of the official releases, for tests."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import soundfile
import yaml

from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.recordings import Recording
from spectrodiff.music.midi.writer import write_midi
from spectrodiff.music.notes import Notes

HOP = 320
SMALL = ExampleFormat(context_frames=8, target_frames=4, max_tokens=64)


def tone(seconds: float, hertz: float = 440.0, rate: int = 44_100, peak: float = 0.25):
    return peak * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_tone(path: Path, seconds: float, hertz: float = 440.0, rate: int = 44_100, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(seconds, hertz, rate, **kwargs), rate, subtype="PCM_16")


def table(*rows, program: int = 0, is_drum: bool = False) -> Notes:
    """A note table from rows (onset, offset, pitch)."""
    onset, offset, pitch = zip(*rows, strict=True)
    return Notes(
        onset_seconds=np.array(onset),
        offset_seconds=np.array(offset),
        pitch=np.array(pitch),
        velocity=np.full(len(rows), 80),
        program=np.full(len(rows), program),
        is_drum=np.full(len(rows), is_drum),
    )


def write_notes(path: Path, *rows, program: int = 0, is_drum: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_midi(table(*rows, program=program, is_drum=is_drum), path)


def write_maestro(folder: Path, rows: list[tuple[str, str]]) -> None:
    """Rows are (split, name below the release's folder without suffix)."""
    lines = ["canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration"]
    for split, name in rows:
        # Titles with commas and quotation marks are what the real table has.
        title = '"Sonata in C, K. 545 ""Facile"", 1st Mov."'
        lines.append(f"W. A. Mozart,{title},{split},2018,{name}.midi,{name}.wav,1.0")
        write_tone(folder / f"{name}.wav", 1.0)
        write_notes(folder / f"{name}.midi", (0.25, 0.5, 60))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "maestro-v3.0.0.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_slakh_track(folder: Path, stems: dict[str, dict], seconds: float = 0.5) -> None:
    """Stems are {id: {"program": 0, "is_drum": False, "hertz": 440, "rendered": True, ...}}."""
    described = {}
    total = np.zeros(round(seconds * 44_100))
    for place, (id, stem) in enumerate(stems.items()):
        is_drum = stem.get("is_drum", False)
        rendered = stem.get("rendered", True)
        described[id] = {
            "audio_rendered": rendered,
            "inst_class": "Drums" if is_drum else "Piano",
            "integrated_loudness": -13.0,
            "is_drum": is_drum,
            "midi_program_name": "some instrument",
            "midi_saved": True,
            "plugin_name": "the_grandeur.nkm",
            "program_num": 128 if is_drum else stem.get("program", 0),
        }
        # The MIDI file's own program is not what the stem is labeled with.
        pitch = stem.get("pitch", 60 + place)
        write_notes(folder / "MIDI" / f"{id}.mid", (0.125, 0.25, pitch), program=5)
        if rendered:
            hertz = stem.get("hertz", 200.0 + 100 * place)
            write_tone(folder / "stems" / f"{id}.flac", seconds, hertz, peak=0.05)
            total += tone(seconds, hertz, peak=0.05)
    # Not to be used: its notes are in another octave.
    write_notes(folder / "all_src.mid", (0.125, 0.25, 12))
    soundfile.write(folder / "mix.flac", total, 44_100, subtype="PCM_16")
    metadata = {
        "UUID": "1a81ae092884234f3264e2f45927f00a",
        "audio_dir": "stems",
        "midi_dir": "MIDI",
        "normalization_factor": -13.0,
        "normalized": True,
        "overall_gain": 0.18,
        "stems": described,
        "target_peak": -1.0,
    }
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")


def write_guitarset(folder: Path, id: str, strings: list[list[tuple]]) -> None:
    """Strings hold notes (time, duration, fractional MIDI pitch)."""
    annotations = [
        {
            "namespace": "note_midi",
            "annotation_metadata": {"data_source": str(number)},
            "data": [
                {"time": time, "duration": duration, "value": value, "confidence": None}
                for time, duration, value in notes
            ],
        }
        for number, notes in enumerate(strings)
    ]
    # Other annotations of the file must not be taken for notes.
    tempo = [{"time": 0.0, "duration": 1.0, "value": 129.0, "confidence": 1.0}]
    annotations.insert(0, {"namespace": "tempo", "annotation_metadata": {}, "data": tempo})
    annotations.insert(
        3,
        {
            "namespace": "pitch_contour",
            "annotation_metadata": {"data_source": "0"},
            "data": {"time": [0.0], "duration": [0.0], "value": [{"frequency": 220.0}]},
        },
    )
    (folder / "annotation").mkdir(parents=True, exist_ok=True)
    jams = {"annotations": annotations, "file_metadata": {"duration": 1.0}, "sandbox": {}}
    (folder / "annotation" / f"{id}.jams").write_text(json.dumps(jams), encoding="utf-8")
    write_tone(folder / "audio_mono-mic" / f"{id}_mic.wav", 1.0, 440.0)
    write_tone(folder / "audio_mono-pickup_mix" / f"{id}_mix.wav", 1.0, 880.0)


MUSICNET_HEADER = "start_time,end_time,instrument,note,start_beat,end_beat,note_value"


def write_musicnet(folder: Path, half: str, id: str, rows: list[str]) -> None:
    for kind in ("data", "labels"):
        for part in ("train", "test"):
            (folder / f"{part}_{kind}").mkdir(parents=True, exist_ok=True)
    write_tone(folder / f"{half}_data" / f"{id}.wav", 1.0)
    labels = "\n".join([MUSICNET_HEADER, *rows]) + "\n"
    (folder / f"{half}_labels" / f"{id}.csv").write_text(labels)


def write_urmp(folder: Path, codes: list[str], notes: list[str], file_codes=None) -> None:
    """Notes are the contents of each player's file."""
    number_and_title = "_".join(folder.name.split("_")[:2])
    folder.mkdir(parents=True)
    write_tone(folder / f"AuMix_{folder.name}.wav", 1.0, rate=48_000)
    for player, (code, text) in enumerate(zip(file_codes or codes, notes, strict=True), start=1):
        (folder / f"Notes_{player}_{code}_{number_and_title}.txt").write_text(text)
        (folder / f"F0s_{player}_{code}_{number_and_title}.txt").write_text("0.0\t0.0\n")
    # The score: not aligned, and not to be used.
    write_notes(folder / f"Sco_{folder.name}.mid", (0.0, 0.5, 12))


def numbered(samples: int, first: int = 1) -> np.ndarray:
    """Samples that count on from `first`, starting again after 30,000; never 0."""
    return ((first - 1 + np.arange(samples)) % 30_000 + 1).astype(np.int16)


def recording(frames: int, *, id: str = "r", notes: Notes | None = None, first: int = 1):
    """A recording of a number of frames as the tokenizer counts them."""
    audio = numbered((frames - 1) * HOP + 7, first)
    notes = table((0.0, 0.001, 60)) if notes is None else notes
    return Recording(id, audio, dataclasses.replace(notes, total_seconds=len(audio) / 16_000))


def corpus(size: int, *, first: int = 1, frames: int = 40) -> list[Recording]:
    """Recordings told apart by their first sample."""
    return [recording(frames, id=str(i), first=first + 13 * i) for i in range(size)]


def dense_then_sparse() -> Recording:
    """Forty notes in each of the first ten frames, none in the other thirty."""
    rows = [(frame * 0.02, frame * 0.02 + 0.01, 40 + n) for frame in range(10) for n in range(40)]
    return recording(40, notes=table(*rows))
