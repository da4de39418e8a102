"""Names that would command a terminal, in all that the commands print."""

import json
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from spectrodiff.commands.program import PrintableFormatter
from tests.support.corpora import write_notes, write_tone

# Sets the title of the window; then a line that looks like one of ours, written from right to left.
EVIL = "a\x1b]0;x\x07\nerror: \u202efake\u2028b"
SHOWN = r"a\x1b]0;x\x07\nerror: \u202efake\u2028b"
COMMANDING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# Runs commands, given as JSON, each as a program of its own would.
PROGRAM = """
import importlib, json, logging, sys
from spectrodiff.commands import program
for arguments in json.loads(sys.argv[1]):
    for stream in (sys.stdout, sys.stderr):
        print("$", json.dumps(arguments), file=stream, flush=True)
    try:
        status = program.run(program.main, arguments)
    except SystemExit as error:
        status = error.code
    print("status", status, file=sys.stderr, flush=True)
"""


@pytest.fixture(scope="module")
def evil(tmp_path_factory):
    """A folder of that name with songs, recordings, tables and a model, some damaged."""
    folder = tmp_path_factory.mktemp("names") / EVIL
    for name in ("one", "two"):
        write_notes(folder / f"{EVIL}{name}.mid", (0.0, 0.5, 60))
        write_tone(folder / f"{name}/{EVIL}.wav", 1.5)
    (folder / "damaged.mid").write_bytes(b"MThd")
    (folder / "damaged.wav").write_bytes(b"RIFF")
    (folder / "run.gin").write_text("Nothing.at_all = 1\n")
    (folder / "answers.csv").write_text("sheet\n")
    os.mkfifo(folder / "pipe")
    (folder / "model").mkdir()
    (folder / "model/model.json").write_text(json.dumps({"format": EVIL}))
    return folder


def commands(evil: Path) -> list[list[str]]:
    at = str(evil)
    song, damaged = f"{at}/{EVIL}one.mid", f"{at}/damaged.mid"
    return [
        ["inspect", song],
        ["inspect", song, damaged, f"{at}/none.mid"],
        ["inspect", song, "--json"],
        ["sample", damaged, "--out", f"{at}/out.wav"],
        ["sample", song, "--out", f"{at}/out.wav", "--model", f"{at}/model"],
        ["sample", song, "--out", f"{at}/out.{EVIL}", "--model", "untrained"],
        ["sample", song, song, "--out", f"{at}/out", "--model", EVIL],
        ["transcribe", f"{at}/damaged.wav", "--out", at],
        ["train", "--gin_file", f"{at}/run.gin", "--run_dir", f"{at}/run"],
        ["train", "--gin_file", f"{at}/none.gin", "--run_dir", f"{at}/run"],
        ["evaluate", "--model", f"{at}/model", "--dataset", EVIL, "--data_dir", at, "--out", at],
        ["prepare", "maestro", "--source", at, "--data_dir", at],
        ["prepare", "pairs", "--source", f"{at}/one", "--data_dir", at, "--name", "a"],
        ["fetch", EVIL],
        ["fetch", "base_with_context", "--from", at],
        ["convert", "untrained", f"{at}/converted"],
        ["convert", f"{at}/model", f"{at}/converted"],
        ["push", f"{at}/model", "--out", f"{at}/card"],
        ["invert", f"{at}/one/{EVIL}.wav", f"{at}/{EVIL}.flac", "--inverter", "griffin-lim"],
        ["invert", f"{at}/damaged.wav", f"{at}/{EVIL}.flac", "--inverter", f"{at}/none"],
        ["compare", at, f"{at}/one"],
        ["report", at],
        ["listen", at, f"{at}/one", "--out", f"{at}/sheet"],
        ["tally", f"{at}/key.json", f"{at}/answers.csv"],
        ["fad", f"{at}/one", f"{at}/two", "--per_file", "--replicates", "0"],
        ["fad", f"{at}/one", f"{at}/two", "--per_file", "--csv", "--replicates", "0"],
        ["fad", at, f"{at}/two", "--skip_damaged", "--replicates", "0"],
        ["export-embedding", "encodec", "--weights", f"{at}/pipe", "--out", f"{at}/a.onnx"],
        ["recipe", "--minutes", "1", "--soundfont", f"{at}/none.sf2", "--out", f"{at}/recipe"],
        ["play", damaged, "--no_browser", "--port", "0"],
        [EVIL],
    ]


def test_no_command_prints_what_commands_a_terminal(evil):
    given = commands(evil)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(given)],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    errors, output = done.stderr.decode(), done.stdout.decode()
    # Lines of CSV end in a carriage return.
    lines = (output + errors).replace("\r\n", "\n").split("\n")
    assert not [line for line in lines if COMMANDING.search(line)]
    # No name begins a line of its own.
    assert not [line for line in lines if line.startswith("error: \\u202e")]
    assert "Traceback" not in errors
    # Each command got as far as to print one of the names.
    for text in re.split(r"^\$ ", errors, flags=re.MULTILINE)[1:]:
        named, _, rest = text.partition("\n")
        both = rest + output.partition(f"$ {named}\n")[2].partition("\n$ ")[0]
        assert r"\x1b" in both or r"\u001b" in both, text


def test_messages_are_of_one_line():
    """Messages of other packages keep their lines, and so does a traceback."""

    def formatted(name, message, *arguments, trace=None):
        record = logging.LogRecord(name, logging.INFO, "a.py", 1, message, arguments, trace)
        return PrintableFormatter().format(record)

    assert formatted("spectrodiff.audio", "%s: a", EVIL) == f"{SHOWN}: a"
    assert formatted("jax", "a\n%s", "b\x1b") == "a\nb\\x1b"
    try:
        raise ValueError("a")
    except ValueError:
        lines = formatted("spectrodiff.player", "failed", trace=sys.exc_info()).split("\n")
    assert lines[:2] == ["failed", "Traceback (most recent call last):"]
    assert lines[-1] == "ValueError: a"
