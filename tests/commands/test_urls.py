"""URLs in place of paths."""

import pytest

from spectrodiff.commands import program


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "pairs", "--source", "a", "--data_dir", "gs://b/data"],
        ["sample", "a.mid", "--out", "gs://b/a.wav"],
        ["train", "--run_dir", "gs://b/run"],
        ["train", "--run_dir", "run", "--data_dir", "gs://b/data"],
        ["evaluate", "--out", "gs://b/report"],
        ["recipe", "mini", "--minutes", "1", "--out", "gs://b/mini"],
        ["convert", "mini", "gs://b/mini"],
        ["invert", "a.wav", "gs://b/a.wav"],
        ["transcribe", "a.wav", "--out", "gs://b/a.mid"],
        ["transcribe", "a.wav", "--transcriber", "gs://b/mt3"],
        ["listen", "gs://b/report", "--out", "sheet"],
        ["compare", "gs://b/report", "--to", "few_steps"],
        ["tally", "gs://b/key.json", "a.csv"],
        ["report", "gs://b/report"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_url_is_refused_in_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert program.run(program.main, arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: gs://b/")
    assert line.endswith("got a URL")
    assert not list(tmp_path.iterdir())
