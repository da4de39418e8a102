"""The wheel in bare environments: it installs, and it renders without a checkout."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")


def run(*command, **options):
    words = [os.fspath(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def find_python(version):
    """Returns a Python of a version, or skips."""
    folder = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    installed = sorted(folder.glob(f"versions/{version}.*/bin/python{version}"))
    for python in (shutil.which(f"python{version}"), *installed, sys.executable):
        if python:
            # A shim may be there and yet lead to nothing.
            asked = subprocess.run(
                [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if asked.stdout.strip() == version:
                return python
    pytest.skip(f"there is no Python {version}")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(built):
    return next(built.glob("*.whl"))


def test_wheel_holds_what_is_used(wheel):
    assert wheel.stat().st_size < 60e6
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("spectrodiff", "configs"):
        files = run("git", "ls-files", folder, cwd=ROOT).split() or ["no checkout"]
        inside = {f"spectrodiff/{file}" if folder == "configs" else file for file in files}
        assert inside <= names
    assert "spectrodiff/examples/greensleeves.mid" in names
    metadata = {name for name in names if ".dist-info/" in name}
    others = names - metadata
    assert all(name.startswith("spectrodiff/") for name in others)
    assert not [name for name in others if "held_back" in name or "__pycache__" in name]


def test_sdist_holds_the_tests_and_no_results(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = archive.getnames()
    tops = {name.split("/")[1] for name in names if "/" in name}
    assert {"tests", "configs", "README.md", "Dockerfile", "requirements.txt"} <= tops
    assert not tops & {"out", ".venv", "build"}


def test_bill_of_materials_lists_what_is_installed(wheel, tmp_path):
    pytest.importorskip("cyclonedx")
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    out = tmp_path / "out" / "sbom.json"
    run(sys.executable, ROOT / ".ci" / "sbom.py", wheel, "--out", out)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(out.read_text()) is None
    bill = json.loads(out.read_text())
    own = bill["metadata"]["component"]
    assert own["name"] == "spectrodiff"
    assert own["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    hashes = {
        (each["name"], each["version"]): {given["content"] for given in each["hashes"]}
        for each in [own, *bill["components"]]
    }
    version = own["version"]
    assert hashes["spectrodiff", version] == {hashlib.sha256(wheel.read_bytes()).hexdigest()}
    weights = ROOT / "spectrodiff" / "weights"
    files = [*weights.rglob("*.safetensors"), *(ROOT / "examples").glob("*.mid")]
    assert len(files) == 8
    for file in files:
        place = file.relative_to(ROOT).as_posix().removeprefix("spectrodiff/")
        expected = {hashlib.sha256(file.read_bytes()).hexdigest()}
        assert hashes[f"spectrodiff/{place}", version] == expected
    # Every pin, with all of its hashes.
    lock = (ROOT / "requirements.txt").read_text().replace("\\\n", "")
    pins = re.findall(r"^([\w.-]+)==([\w.]+)(.*)$", lock, re.MULTILINE)
    assert len(pins) > 140
    for name, pinned, rest in pins:
        assert hashes[name, pinned] == set(re.findall("[0-9a-f]{64}", rest)), name
    assert len(bill["components"]) == len(pins) + len(files)


def make_environment(python, folder):
    run(python, "-m", "venv", "--without-pip", folder)
    return folder / "bin"


def render(folder, programs, cache):
    """Renders an example that the package brings, far from any checkout; returns where."""
    environment = {**os.environ, "SPECTRODIFF_CACHE": str(cache)}
    environment.pop("PYTHONPATH", None)
    where = {"cwd": folder, "env": environment}
    version = run(programs / "spectrodiff", "--version", **where).strip()
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    song = ("joplin_entertainer.mid", "--out", "song.wav", "--steps", "1")
    run(programs / "spectrodiff", "sample", *song, **where)
    read = "import soundfile, sys; x, rate = soundfile.read('song.wav'); print(rate, x.std())"
    rate, level = run(programs / "python", "-c", read, **where).split()
    assert rate == "16000"
    assert float(level) > 0.01
    return where


@pytest.mark.parametrize("version", VERSIONS)
def test_wheel_renders_in_a_bare_environment(version, wheel, tmp_path):
    programs = make_environment(find_python(version), tmp_path / "venv")
    run(sys.executable, "-m", "uv", "pip", "install", "--python", programs / "python", wheel)
    where = render(tmp_path, programs, tmp_path / "cache")
    # Configs are found by name, and what is missing is said before anything is done.
    train = [programs / "spectrodiff", "train", "--gin_file", "tiny.gin", "--run_dir", "run"]
    done = subprocess.run(train, capture_output=True, text=True, check=False, **where)
    assert done.returncode == 1
    assert "error: train: expected the packages of the extra 'train', got no" in done.stderr
    assert not (tmp_path / "run").exists()


def test_commands_of_the_container_work(tmp_path):
    """Its lines with pip run in a bare environment, in a copy of the files that it copies."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", "")
    version = re.search(r"FROM python:([\d.]+)-slim", text)[1]
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = tmp_path / "copied"
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(*ignored))
    programs = make_environment(find_python(version), tmp_path / "venv")
    # The image's pip is uv here, which takes the same words and is several times faster.
    pip = tmp_path / "path" / "pip"
    pip.parent.mkdir()
    pip.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -m uv pip "$@" --python "{programs}/python"\n'
    )
    pip.chmod(0o755)
    commands = re.findall(r"^RUN (.*)$", text, re.MULTILINE)
    ours = [command for command in commands if "apt-get" not in command]
    assert len(ours) == len(commands) - 1 == 4
    path = os.pathsep.join([str(pip.parent), str(programs), os.environ["PATH"]])
    for command in ours:
        run("sh", "-c", command, cwd=copied, env={**os.environ, "PATH": path, "CUDA": ""})
    assert 'ENTRYPOINT ["spectrodiff"]' in text
    said = run(programs / "spectrodiff", "inspect", "greensleeves.mid", cwd=tmp_path)
    assert "flute" in said
