"""Configs found by name."""

from pathlib import Path

import pytest

from spectrodiff.commands import train
from spectrodiff.commands.shared.configs import CONFIGS, find_config
from spectrodiff.core.errors import ConfigError


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
