"""Command `transcribe`: audio to MIDI."""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared.audio import AudioFile, count_seconds, find_audio
from spectrodiff.commands.shared.flags import add_out
from spectrodiff.commands.shared.outputs import name_outputs
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.errors import AudioError, printable
from spectrodiff.core.files import check_writable, local_name, local_path
from spectrodiff.core.progress import Progress
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.music.midi.writer import write_midi

if TYPE_CHECKING:
    from spectrodiff.music.notes import Notes

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Transcribes the files that the command line names; returns the exit status."""
    flags = parse_flags(arguments)
    files = find_audio(flags.inputs)
    outputs = name_outputs(
        [file.name for file in files],
        flags.out,
        kind="audio files",
        suffix=".mid",
        suffixes=(".mid", ".midi"),
    )
    seconds, refused = check_files(files, strict=flags.strict)
    for folder in {outputs[number].parent for number in seconds}:
        check_writable(folder)
    if seconds:
        transcribe_files(files, outputs, seconds, flags)
    for error in refused:
        logger.error("left out: %s", error)
    return 1 if refused else 0


def check_files(
    files: Sequence[AudioFile], *, strict: bool
) -> tuple[dict[int, float], list[AudioError]]:
    """Decodes all files, so that a damaged one is not found after hours.

    Returns:
        Seconds of each file that can be read, by its place in the list, and errors of the others.

    Raises:
        AudioError: if the only file cannot be read; if `strict`, if any cannot.
    """
    seconds: dict[int, float] = {}
    refused: list[AudioError] = []
    with Progress("reading", len(files), "file", enabled=len(files) > 1) as progress:
        for number, file in enumerate(files):
            try:
                seconds[number] = count_seconds(file.path)
            except AudioError as error:
                if strict or len(files) == 1:
                    raise
                refused.append(error)
            progress.advance()
    return seconds, refused


def transcribe_files(
    files: Sequence[AudioFile],
    outputs: Sequence[Path],
    seconds: dict[int, float],
    flags: argparse.Namespace,
) -> None:
    """Transcribes files, and writes the notes of each as soon as they are known.

    Args:
        files: the files.
        outputs: MIDI file of each.
        seconds: length of each file that is transcribed, by its place in the list.
        flags: flags of the command.
    """
    enable_compilation_cache()
    # Only now, so that --help and errors in files are fast.
    from spectrodiff.evaluation.metrics.transcription.transcribe import open_transcriber, transcribe

    transcriber = open_transcriber(flags.transcriber, batch_size=flags.batch_size)
    begin = 0.0  # of the file among the seconds of all
    shown = 0
    with Progress("transcribing", round(sum(seconds.values())), "second") as progress:

        def report(position: float) -> None:
            nonlocal shown
            if (now := round(begin + position)) > shown:
                progress.advance(now - shown)
                shown = now

        for number, length in seconds.items():
            notes = transcribe(files[number].path, transcriber, report)
            write_midi(notes, outputs[number])
            if not len(notes):
                reason = notes.remarks[0] if notes.remarks else "no notes were found"
                logger.warning("%s: %s", printable(str(files[number].path)), reason)
            text = describe(notes, programs=transcriber.tells_programs)
            values = counts(notes, programs=transcriber.tells_programs)
            values = {"audio": files[number].path, "out": outputs[number], **values}
            print_result(flags, f"{written(outputs[number])}  {text}", values)
            report(length)
            begin += length


def counts(notes: "Notes", *, programs: bool) -> dict[str, Any]:
    """Returns the numbers that `describe` tells; programs are None if they mean nothing."""
    pitched = Counter(notes.program[~notes.is_drum].tolist())
    return {
        "seconds": notes.total_seconds,
        "notes": pitched.total(),
        "drum_hits": int(notes.is_drum.sum()),
        "programs": dict(pitched.most_common()) if programs else None,
    }


def describe(notes: "Notes", *, programs: bool) -> str:
    """Returns a line about notes: how many, how long, and by which instruments.

    Args:
        notes: the notes.
        programs: whether their programs mean anything.
    """
    pitched = Counter(notes.program[~notes.is_drum].tolist())
    hits = int(notes.is_drum.sum())
    text = f"{pitched.total()} note{'s' * (pitched.total() != 1)}"
    if hits:
        text += f", {hits} drum hit{'s' * (hits > 1)}"
    text += f", {notes.total_seconds:.1f} s"
    if programs and pitched:
        counts = [
            f"{PROGRAM_NAMES[program]} (program {program}) {count}"
            for program, count in pitched.most_common()
        ]
        text += f"; {', '.join(counts)}"
    return text


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = Parser(
        prog=usage_name("transcribe"),
        description="Transcribes audio to MIDI files with basic-pitch (notes) or MT3 (notes, "
        "instruments and drums).",
        epilog="Example: spectrodiff transcribe take.wav --out take.mid",
    )
    add = parser.add_argument
    add(
        "inputs",
        type=local_name,
        nargs="+",
        metavar="AUDIO",
        help="audio files, or folders with audio files in them and in their subfolders",
    )
    help = "MIDI file of one input, or a folder (default: the current one)"
    add_out(parser, help, type=str, default=".")
    add(
        "--transcriber",
        type=transcriber_source,
        metavar="NAME",
        help="basic_pitch, or the folder of MT3's published checkpoint (default: basic_pitch)",
    )
    add(
        "--batch_size",
        type=int,
        help="number of segments of two seconds that MT3 decodes together (default: 16 on a CPU, "
        "64 on other devices)",
    )
    add(
        "--strict",
        action="store_true",
        help="stop with an error if a file cannot be read (default: leave out that file)",
    )
    keys = "audio, out, seconds, notes, drum_hits and programs (notes of each, or null)"
    add_json(parser, keys, each="file")
    return parser.parse_args(arguments)


def transcriber_source(text: str) -> str:
    """Parses the name of a transcriber or the path of its weights."""
    return str(local_path(text))
