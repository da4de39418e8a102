"""The reference arrays are those of plain code that shares nothing with the package."""

import re
import shutil

import numpy as np
import pytest

from tests.golden import regenerate
from tests.support.imports import imported

GOLDEN = regenerate.GOLDEN
FILES = sorted(
    path.relative_to(GOLDEN).as_posix()
    for path in GOLDEN.rglob("*")
    if path.is_file() and path.suffix not in (".md", ".py", ".pyc")
)


@pytest.mark.parametrize("name", regenerate.COMPUTED)
def test_files_are_as_plain_code_computes_them(name):
    assert not regenerate.regenerate(GOLDEN / name, regenerate.COMPUTED[name])


def test_every_file_is_computed_or_given():
    assert set(regenerate.COMPUTED) <= set(FILES)
    assert all(name in regenerate.COMPUTED or name.startswith(regenerate.GIVEN) for name in FILES)


def test_the_page_names_every_file():
    page = (GOLDEN / "README.md").read_text()
    for name in (*regenerate.COMPUTED, *regenerate.GIVEN):
        assert re.search(rf"^\| `{re.escape(name)}", page, re.MULTILINE), name


def test_plain_code_is_independent():
    modules = [*(GOLDEN.parent / "support" / "plain").glob("*.py"), GOLDEN / "regenerate.py"]
    assert len(modules) > 6
    for path in modules:
        names = list(imported(path.read_text()))
        assert names or path.name == "__init__.py"
        assert not [name for name in names if name.split(".")[0] in ("spectrodiff", "jax", "flax")]


def test_writing_replaces_outputs_alone(tmp_path):
    name, damaged = "embedding_metrics.npz", tmp_path / "a.npz"
    with np.load(GOLDEN / name) as arrays:
        stored = dict(arrays)
    np.savez(damaged, **{**stored, "small_frechet": stored["small_frechet"] * 1.01})
    compute = regenerate.COMPUTED[name]
    (problem,) = regenerate.regenerate(damaged, compute)
    assert problem.startswith("small_frechet: differs by up to")
    regenerate.regenerate(damaged, compute, write=True)
    with np.load(damaged) as arrays:
        assert arrays.keys() == stored.keys()
        for key, values in stored.items():
            assert arrays[key].dtype == values.dtype
            np.testing.assert_allclose(arrays[key], values, rtol=1e-9)


def test_writing_json_keeps_its_form(tmp_path):
    name = "transcription_scores.json"
    shutil.copy(GOLDEN / name, tmp_path)
    assert not regenerate.regenerate(tmp_path / name, regenerate.COMPUTED[name], write=True)
    assert (tmp_path / name).read_text() == (GOLDEN / name).read_text()


def test_files_are_chosen_by_name(capsys):
    assert regenerate.main(["log_mel.npz"]) == 0
    assert capsys.readouterr().out == "log_mel.npz: as stored\n"
    with pytest.raises(SystemExit):
        regenerate.main(["mel.npz"])
    assert "got mel.npz" in capsys.readouterr().err
