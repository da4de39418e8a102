"""Configs found by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from spectrodiff.commands import train
from spectrodiff.commands.shared import configs
from spectrodiff.commands.shared.configs import CONFIGS, find_config
from spectrodiff.core.errors import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tiny.gin", "tiny.gin"),
        ("tiny", "tiny.gin"),
        ("configs/tiny.gin", "tiny.gin"),
        ("paper/small_context", "paper/small_context.gin"),
        ("configs/mini/narrow", "mini/narrow.gin"),
    ],
)
def test_names_of_configs_from_any_folder(name, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config(name, CONFIGS) == CONFIGS / file
    # A file of one's own comes first.
    own = tmp_path / name
    own.parent.mkdir(parents=True, exist_ok=True)
    own.touch()
    assert find_config(name, CONFIGS) == Path(name)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("tinny.gin", r" \(did you mean tiny.gin\?\)"),
        ("configs/tinny", r" \(did you mean tiny.gin\?\)"),
        ("paper/smal_context.gin", r" \(did you mean paper/small_context.gin\?\)"),
        ("narrow.gin", r" \(did you mean mini/narrow.gin\?\)"),
        ("zzz.gin", "; configs are in "),
    ],
)
def test_a_misspelt_config_is_suggested(name, hint):
    with pytest.raises(ConfigError, match=f"{name}: expected a gin file, got no such file{hint}"):
        find_config(name, CONFIGS)
    with pytest.raises(ConfigError, match=r"got no such file$"):
        find_config(name)


def test_included_files_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = train.configure(["paper/small_context"], ["Training.steps = 7"])
    assert settings.training.steps == 7
    assert settings.network.size == "small"


def test_without_a_checkout_the_configs_of_the_package_are_used(tmp_path):
    code = f"""
import importlib.util, types
from pathlib import Path
found = importlib.util.find_spec
def find(name, *rest):
    if name != "spectrodiff.configs":
        return found(name, *rest)
    return types.SimpleNamespace(submodule_search_locations=[{str(CONFIGS)!r}])
importlib.util.find_spec = find
from spectrodiff.commands.shared import configs
configs.__file__ = {str(tmp_path / "a/b/c/d/configs.py")!r}
print(configs.find_folder())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(CONFIGS)
    assert configs.find_folder() == ROOT / "configs"
