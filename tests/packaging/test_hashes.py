"""Hashes of the pinned packages: all are there, and what was changed is refused."""

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PINNED = ("requirements.txt", "requirements-build.txt")
BACKEND = """
import zipfile

def build_wheel(folder, settings=None, metadata=None):
    name = "built-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for file, text in FILES.items():
            wheel.writestr(file, text)
    return name
"""


@pytest.mark.parametrize("file", PINNED)
def test_every_package_has_hashes(file):
    text = re.sub(r"^#.*\n", "", (ROOT / file).read_text(), flags=re.MULTILINE)
    requirements = text.replace("\\\n", "").splitlines()
    assert len(requirements) >= {"requirements.txt": 140}.get(file, 9)
    one_hash = r" +--hash=sha256:[0-9a-f]{64}"
    for line in requirements:
        assert re.fullmatch(rf"[\w.-]+==[\w.]+( ;[^#\\:]+?)?({one_hash})+ *", line), line
    # Nothing says where packages come from: that is for the settings of `pip`.
    assert "://" not in text


def test_pins_of_both_files_fit_together():
    pins = [
        set(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / file).read_text(), re.MULTILINE))
        for file in PINNED
    ]
    names = [{name for name, _ in versions} for versions in pins]
    assert {"hatchling", "pip", "setuptools"} <= names[1]
    shared = names[0] & names[1]
    assert {pin for pin in pins[0] if pin[0] in shared} >= {
        pin for pin in pins[1] if pin[0] in shared
    }


def test_pinned_packages_are_installed_on_their_own():
    # `pip` wants hashes of everything beside them, which this folder and its extras do not have.
    files = ["Dockerfile", "Makefile", "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join((ROOT / file).read_text().replace("\\\n", "") for file in files)
    found = re.findall(r"pip install (.*?(?:-r|--requirement) requirements\S*.*)", text)
    assert len(found) >= 7
    for words in found:
        rest = re.sub(r"(-r|--requirement|--build-constraint) requirements[\w-]*\.txt", "", words)
        rest = re.split("&&|`", rest)[0].split()
        assert set(rest) <= {"--quiet", "--upgrade", "$(BUILD)"}, words


def wheel_files(name, code):
    information = f"{name}-1.dist-info"
    files = {
        f"{name}.py": code,
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{information}/RECORD"])
    return {**files, f"{information}/RECORD": record}


def make_wheel(folder, name, code):
    """Returns the line that pins a wheel which it makes."""
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in wheel_files(name, code).items():
            wheel.writestr(file, text)
    return f"{name}==1 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def changed(line):
    return line[:-2] + ("1" if line[-2] == "0" else "0") + "\n"


INSTALLERS = {
    "pip": ("pip", "install", "--disable-pip-version-check"),
    "uv": ("uv", "pip", "install", "--no-cache"),
}


def install(program, folder, *words):
    command = [sys.executable, "-m", *INSTALLERS[program], "--no-index", "--find-links", folder]
    command += ["--target", folder / f"of_{program}", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("program", INSTALLERS)
def test_another_wheel_is_refused(program, tmp_path):
    line = make_wheel(tmp_path, "made_package", "VALUE = 1\n")
    (tmp_path / "pins.txt").write_text(changed(line))
    done = install(program, tmp_path, "-r", "pins.txt")
    assert done.returncode != 0
    assert re.search("hash(es)? .*mismatch|DO NOT MATCH", done.stderr, re.IGNORECASE), done.stderr
    assert not (tmp_path / f"of_{program}" / "made_package.py").exists()
    (tmp_path / "pins.txt").write_text(line)
    done = install(program, tmp_path, "-r", "pins.txt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"of_{program}" / "made_package.py").exists()


def test_another_build_tool_is_refused(tmp_path):
    line = make_wheel(tmp_path, "made_backend", f"FILES = {wheel_files('built', '')}\n{BACKEND}")
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["made_backend"]\nbuild-backend = "made_backend"\n'
        '[project]\nname = "built"\nversion = "1"\n'
    )
    words = ("--build-constraint", "pins.txt", "--no-deps", project)
    (tmp_path / "pins.txt").write_text(changed(line))
    done = install("pip", tmp_path, *words)
    assert done.returncode != 0
    assert "DO NOT MATCH" in done.stdout + done.stderr
    (tmp_path / "pins.txt").write_text(line)
    done = install("pip", tmp_path, *words)
    assert done.returncode == 0, done.stderr
