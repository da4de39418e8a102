"""Requirements in pyproject.toml and requirements.txt: complete, pinned, and free of conflicts."""

import ast
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.core.extras import EXTRAS, explain_missing, need_extra

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRA_PACKAGES = PROJECT["optional-dependencies"]
# Packages whose modules have another name.
MODULES = {
    "absl-py": "absl",
    "apache-beam": "apache_beam",
    "gin-config": "gin",
    "msgpack": "msgpack",
    "orbax-checkpoint": "orbax",
    "pyyaml": "yaml",
    "tensorboardx": "tensorboardX",
    "tensorflow-datasets": "tensorflow_datasets",
}
# Imported where they are installed, by code that says what to do without them.
OPTIONAL = {"basic_pitch", "clap", "dac", "encodec", "laion_clap", "torch", "transformers"}
OPTIONAL |= {"trackio", "wandb"}


def name(requirement):
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~\[; ]", requirement)[0]).lower()


def module(requirement):
    return MODULES.get(name(requirement), name(requirement).replace("-", "_"))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]


def test_every_imported_package_is_required():
    required = {module(line) for line in PROJECT["dependencies"]}
    required |= {module(line) for lines in EXTRA_PACKAGES.values() for line in lines}
    known = (
        required | OPTIONAL | set(sys.stdlib_module_names) | {"spectrodiff", "jaxlib", "_typeshed"}
    )
    found = {
        (path.relative_to(ROOT).as_posix(), package)
        for path in (ROOT / "spectrodiff").rglob("*.py")
        for package in imported(path)
        if package not in known
    }
    assert not found


def test_every_requirement_is_imported():
    used = {package for path in (ROOT / "spectrodiff").rglob("*.py") for package in imported(path)}
    listed = [*PROJECT["dependencies"], *(x for extra in EXTRAS for x in EXTRA_PACKAGES[extra])]
    unused = {module(line) for line in listed} - used
    # array-record reads and writes what grain and TFDS store; audioop is imported by note-seq.
    assert unused == {"array_record", "audioop_lts"}


def test_extras_are_those_of_the_project():
    for extra, packages in EXTRAS.items():
        listed = {name(line) for line in EXTRA_PACKAGES[extra]} - {"audioop-lts"}
        assert {name(package) for package in packages.values()} == listed


def test_requirements_pin_all_of_the_project():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith(("#", " "))]
    assert all(re.match(r"[\w.-]+==[\w.]+ (;|\\$)", line) for line in pinned)
    wanted = [*PROJECT["dependencies"], *(x for extra in EXTRAS for x in EXTRA_PACKAGES[extra])]
    assert {name(line) for line in wanted} <= {name(line) for line in pinned}


UNREACHABLE = ("error sending request", "Could not connect")
# The extras of onnxruntime-gpu name the CUDA packages that it was built for.
WANTED = "onnxruntime-gpu[cuda,cudnn]\n"


def resolve_for_cuda(cuda):
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    command += ["--no-annotate", "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--python-version", "3.12", "--extra", f"cuda{cuda}", "pyproject.toml", "-"]
    return subprocess.run(
        command, input=WANTED, capture_output=True, text=True, cwd=ROOT, check=False
    )


def resolve_for(platform):
    command = [sys.executable, ".ci/resolve.py", "--platform", platform, "--python", "3.13"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def resolved():
    """Returns what `uv` finds; skips if the package index is out of reach."""
    # All at once, as they only wait for answers.
    with ThreadPoolExecutor() as pool:
        futures = {cuda: pool.submit(resolve_for_cuda, cuda) for cuda in (12, 13)}
        futures |= {name: pool.submit(resolve_for, name) for name in ("Windows", "macOS")}

    def result(name):
        done = futures[name].result()
        if any(words in done.stdout + done.stderr for words in UNREACHABLE):
            pytest.skip("the package index is out of reach: nothing was resolved")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return result


@pytest.mark.parametrize("cuda", [12, 13])
def test_jax_and_onnx_want_the_same_cuda(cuda, resolved):
    pins = dict(line.split(" ")[0].split("==") for line in resolved(cuda).splitlines())
    assert f"jax-cuda{cuda}-plugin" in pins
    assert pins[f"nvidia-cudnn-cu{cuda}"].startswith("9.")
    others = {package for package in pins if package.endswith(f"-cu{25 - cuda}")}
    assert not others
    runtime = pins["nvidia-cuda-runtime-cu12" if cuda == 12 else "nvidia-cuda-runtime"]
    assert runtime.startswith(f"{cuda}.")


@pytest.mark.parametrize("platform", ["Windows", "macOS"])
def test_other_systems_can_be_resolved(platform, resolved):
    assert resolved(platform).split() == [
        word for extra in ("rendering", "all")
        for word in (extra, platform, "Python", "3.13", "ok")
    ]  # fmt: skip


def test_missing_packages_are_named_with_the_line_that_installs_them(monkeypatch):
    need_extra("train", "train")
    missing = {"grain", "tensorboardX"}
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name in missing else object()
    )
    with pytest.raises(ConfigError) as caught:
        need_extra("train", "train")
    assert str(caught.value).lower() == (
        "train: expected the packages of the extra 'train', got no grain, tensorboardx "
        "(to install them: pip install 'grain<0.3,>=0.2.18' 'tensorboardx>=2.6.5')"
    )
    assert "no grain" in str(explain_missing("grain"))
    assert explain_missing("another") is None


def test_windows_is_told_what_to_use_instead(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(ConfigError, match="prepare: expected Linux, macOS or WSL"):
        need_extra("prepare", "train")
