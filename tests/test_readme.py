"""Every command and every line of Python in the README and in docs/ runs as written."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clones import make_clone
from tests.support.tiny import QUICK_TO_COMPILE

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^(<!-- not run: .*? -->\n)?```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOR_THE_SITE = re.compile(r"^<!-- site\n.*?^-->$", re.MULTILINE | re.DOTALL)
# These install the package or run this very suite; the Makefile's targets are checked separately.
NOT_AGAIN = re.compile(
    r"^(make (play|demo|site|sbom|test|check)|python -m venv .*|(python -m )?pip install .*)$"
)


# In an order in which every page has what its commands need.
PAGES = (
    "README",
    "docs/quickstart",
    "docs/midi_files",
    "docs/rendering",
    "docs/playing",
    "docs/data",
    "docs/training",
    "docs/fine_tuning",
    "docs/distillation",
    "docs/inverter",
    "docs/sharing",
)
OTHER_PAGES = (
    "docs/api",
    "docs/architecture",
    "docs/evaluation",
    "docs/five_instruments",
    "docs/how_it_works",
    "docs/installing",
    "docs/many_hosts",
    "docs/performance",
    "docs/released_models",
    "docs/robustness",
    "docs/transcription",
)


def blocks(language):
    text = "\n".join((ROOT / f"{page}.md").read_text() for page in PAGES + OTHER_PAGES)
    text = FOR_THE_SITE.sub("", text)
    return [match[3] for match in BLOCK.finditer(text) if match[2] == language and not match[1]]


def test_all_pages_are_tested():
    pages = {path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.glob("docs/*.md")}
    assert pages | {"README"} == {*PAGES, *OTHER_PAGES}


def test_links_lead_somewhere():
    for page in (ROOT / f"{page}.md" for page in (*PAGES, *OTHER_PAGES, "CONTRIBUTING")):
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
            assert "://" in link or (page.parent / link).exists(), f"{page}: {link}"


def commands():
    lines = [line for block in blocks("") for line in block.splitlines()]
    return [line for line in lines if line and not NOT_AGAIN.match(line)]


# Made by FluidSynth, which not every machine has.
NEEDS_FLUIDSYNTH = {
    "examples/beside_soundfont.py",
    "soundfont",
    "out/data",
    "out/tiny-run",
    "out/tiny-student",
    "out/tiny-inverter",
    "out/inverter.onnx",
    "out/report",
    "recipe",
    "out/recipe/model",
}
# What takes minutes is shortened; the rest of a command stays as it is written.
SHORTER = {
    "prepare soundfont": ["--songs", "3"],
    "examples/plucked_strings.py": ["--songs", "3"],
    "recipe": ["--minutes", "0.1"],
    "train.py": [
        "--gin_bindings",
        "Training.evaluation_examples = 4",
        "--gin_bindings",
        "Training.previews = 0",
    ],
    "eval.py": [
        "--gin_bindings",
        "STEPS = 2",
        "--gin_bindings",
        "Evaluation.max_minutes = 0.1",
        "--gin_bindings",
        "Evaluation.replicates = 5",
    ],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clone of the repository with short songs."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder)
    return folder


def run(command, folder, cache):
    own = {"SPECTRODIFF_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, **QUICK_TO_COMPILE, **own}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"


def test_commands_in_their_order(folder, tmp_path_factory):
    """One test for all of them: later commands use what earlier ones made."""
    cache = tmp_path_factory.getbasetemp() / "readme-cache"
    left_out = []
    for command in commands():
        program, *arguments = shlex.split(command)
        assert program == "python", command
        if not shutil.which("fluidsynth") and NEEDS_FLUIDSYNTH.intersection(arguments):
            left_out.append(command)
            continue
        expanded = [
            str(path.relative_to(folder)) if "*" in argument else argument
            for argument in arguments
            for path in (sorted(folder.glob(argument)) if "*" in argument else [None])
        ]
        shorter = [
            more
            for names, extra in SHORTER.items()
            if set(names.split()) <= set(arguments)
            for more in extra
        ]
        if "train.py" in arguments:
            shorter += ["--gin_bindings", "STEPS = 1"]
        if "sample.py" in arguments and "--steps" not in arguments:
            shorter += ["--steps", "2"]
        run([sys.executable, *expanded, *shorter], folder, cache)
    if left_out:
        # The others have run; those that have not are told at the end of the suite.
        pytest.skip(f"no FluidSynth: {len(left_out)} commands were not run, {left_out[0]} first")


@pytest.mark.parametrize("block", blocks("python"))
def test_python(block, folder, tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "readme-cache"
    run([sys.executable, "-c", block], folder, cache)


def test_make_targets_exist():
    targets = set(re.findall(r"`?make (\w+)", (ROOT / "README.md").read_text()))
    assert {"play", "demo", "site"} <= targets
    for target in targets:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
