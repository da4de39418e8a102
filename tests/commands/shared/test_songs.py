"""Songs named on command lines."""

from spectrodiff.commands.shared.songs import find_song
from spectrodiff.core.files import package_folder


def test_examples_are_found_by_name_and_own_files_come_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = str(package_folder("examples") / "greensleeves.mid")
    assert find_song("greensleeves.mid") == find_song("examples/greensleeves.mid") == example
    assert find_song("other.mid") == "other.mid"
    assert find_song(str(tmp_path / "greensleeves.mid")) == str(tmp_path / "greensleeves.mid")
    (tmp_path / "greensleeves.mid").touch()
    assert find_song("greensleeves.mid") == "greensleeves.mid"
