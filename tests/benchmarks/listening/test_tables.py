"""Results are stored, printed and compared."""

import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import ReportError


def results(name="a", **changes):
    from listening.measures import Value
    from listening.tables import Results, inverter_rows, make_rows

    def values(*numbers):
        names = ("f1", "l1")
        return [Value("music", n, "dB", v) for n, v in zip(names, numbers, strict=True)]

    rows = make_rows(values(0.5, np.nan), values(0.6, 0.0), values(0.7, 0.8), values(0.4, 0.2))
    rows += inverter_rows([Value("tones", "off", "cents", 9.876)])
    made = Results(name, "plain", "short", 10, 1.5, 0, 0.8, "Other", rows)
    return dataclasses.replace(made, **changes)


def test_results_are_read_as_written(tmp_path):
    from listening.tables import Results, Row

    made = results()
    assert made.rows[1] == Row("music", "l1", "dB", None, 0.0, 0.8, 0.2)
    made.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == made
    # Older versions have other names of some measures.
    text = (tmp_path / "results.json").read_text()
    (tmp_path / "old.json").write_text(text.replace('"name": "l1"', '"name": "l1, as heard"'))
    assert Results.read(tmp_path / "old.json").rows[1].name == "l1 of the audio"
    with pytest.raises(ReportError):
        Results.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text('{"rows": [{"what": 1}]}')
    with pytest.raises(ReportError):
        Results.read(tmp_path / "bad.json")


def test_table():
    from listening.tables import table

    lines = table(results()).splitlines()
    assert lines[-3] == "| music | f1 (dB) | 0.50 | 0.60 | 0.70 | 0.40 |"
    assert lines[-2] == "|  | l1 (dB) | – | 0.00 | 0.80 | 0.20 |"
    assert lines[-1] == "| tones | off (cents) | – | – | – | 9.88 |"


def test_comparison(tmp_path, capsys):
    import listen

    before, after = results(), results("b")
    rows = (dataclasses.replace(after.rows[0], model=0.25, inverter=0.45), *after.rows[1:])
    before.write(tmp_path / "before.json")
    dataclasses.replace(after, rows=rows).write(tmp_path / "after.json")
    listen.main(["--compare", str(tmp_path / "before.json"), str(tmp_path / "after.json")])
    out = capsys.readouterr().out
    assert "| music | f1 (dB) | 0.50 | 0.25 | -0.25 | 0.60 | 0.40 | 0.45 |" in out
    assert "|  | l1 (dB) | – | – | – | 0.00 | 0.20 | 0.20 |" in out
    results("b", form="long").write(tmp_path / "after.json")
    with pytest.raises(ReportError, match="form"):
        listen.main(["--compare", str(tmp_path / "before.json"), str(tmp_path / "after.json")])


def test_a_model_or_a_comparison_is_needed(capsys):
    import listen

    with pytest.raises(SystemExit):
        listen.main([])
    assert "either a model or --compare" in capsys.readouterr().err
