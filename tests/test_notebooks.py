"""The notebooks run from top to bottom, and are committed without outputs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.clones import make_clone
from tests.support.tiny import QUICK_TO_COMPILE

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Minutes of training are shortened; all else runs as it is written.
SHORTER = {
    "SONGS, STEPS = 8, 200": "SONGS, STEPS = 3, 3",
    "SONGS, STEPS = 20, 500": "SONGS, STEPS = 3, 2",
    '--gin_bindings "STEPS = {STEPS}"': '--gin_bindings "STEPS = {STEPS}" '
    "--gin_bindings Training.evaluation_examples=4 --gin_bindings Training.previews=0",
}
NEEDS_FLUIDSYNTH = {"training", "reading_an_evaluation"}

# Runs cells as a notebook does, in one namespace, up to the first that fails.
RUN = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell

class Shell(InteractiveShell):
    def enable_gui(self, gui=None):
        pass

shell = Shell.instance(colors="nocolor")
for source in json.load(sys.stdin):
    done = shell.run_cell(source)
    if not done.success or shell.user_ns.get("_exit_code"):
        sys.exit(f"in the cell:\\n{source}")
"""


def cells(path):
    return json.loads(path.read_text())["cells"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path, tmp_path, tmp_path_factory):
    cache = tmp_path_factory.getbasetemp() / "readme-cache"
    if path.stem in NEEDS_FLUIDSYNTH and not shutil.which("fluidsynth"):
        pytest.skip("no FluidSynth")
    make_clone(tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    sources = ["".join(cell["source"]) for cell in cells(path) if cell["cell_type"] == "code"]
    for long, short in SHORTER.items():
        sources = [source.replace(long, short) for source in sources]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(sources),
        capture_output=True,
        text=True,
        cwd=folder,
        env={
            **os.environ,
            **QUICK_TO_COMPILE,
            "PYTHONPATH": str(ROOT),
            "SPECTRODIFF_CACHE": str(cache),
            "IPYTHONDIR": str(tmp_path / "ipython"),
        },
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_is_committed_without_outputs(path):
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_what_is_shortened_is_there():
    text = "".join("".join(cell["source"]) for path in NOTEBOOKS for cell in cells(path))
    assert all(long in text for long in SHORTER)
