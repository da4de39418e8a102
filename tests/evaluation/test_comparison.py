"""Comparisons of rows, worked by hand."""

import json

import pytest

from spectrodiff.commands.program import main
from spectrodiff.core.errors import ConfigError, ReportError
from spectrodiff.evaluation.comparison import compare_rows
from spectrodiff.report import comparison_table

ROWS = ("model", "few")
COLUMNS = {"signal": "lower", "f1": "higher", "vggish_frechet": "lower"}


def evaluation(folder, corpora, settings=None, rows=ROWS):
    """Writes scores.json; `corpora` are {"name:split": {song: {row: {column: score}}}}."""
    folder.mkdir(exist_ok=True)
    content = {
        "format": 1,
        "model": folder.name,
        "settings": {"max_minutes": 10.0, "protocol": "aligned", **(settings or {})},
        "rows": [{"name": row, "title": row.title()} for row in rows],
        "metrics": [
            {"name": name, "title": name, "better": better} for name, better in COLUMNS.items()
        ],
        "corpora": [
            {
                "name": name.split(":")[0],
                "split": name.split(":")[1],
                "songs": len(songs),
                "asked": len(songs),
                "seconds": 60.0,
                "scores": {
                    row: {"vggish_frechet": {"value": frechet}}
                    for row, frechet in zip(rows, (2.0, 3.5), strict=True)
                },
                "per_song": [
                    {"song": song, "seconds": 60.0, "checksum": f"sum of {song}", "scores": scores}
                    for song, scores in songs.items()
                ],
            }
            for name, songs in corpora.items()
        ],
    }
    (folder / "scores.json").write_text(json.dumps(content))
    return content


def scores(signal, f1=None, row="model"):
    return {row: {"signal": signal, "f1": f1}}


def by_column(corpus):
    return {column.column: column for column in corpus.columns}


def test_differences_over_the_shared_songs(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    evaluation(a, {"own/x:test": {"p": scores(1.0, 0.5), "q": scores(2.0, 0.25), "r": scores(9.0)}})
    evaluation(b, {"own/x:test": {"q": scores(2.5, 0.5), "p": scores(2.5), "z": scores(0.0)}})
    comparison = compare_rows(a, b)
    [corpus] = comparison.corpora
    assert (corpus.title, corpus.songs, corpus.exact) == ("own/x, test", 2, True)
    found = by_column(corpus)
    # Songs p and q: 1 and 2 against 2.5 and 2.5; both signs alike, so p is 2 of 4 patterns.
    signal = found["signal"]
    assert (signal.first, signal.second, signal.difference) == (1.5, 2.5, -1.0)
    assert (signal.low, signal.high) == (-1.5, -0.5)
    assert (signal.songs, signal.p_value, signal.p_holm) == (2, 0.5, 1.0)
    # Only q has F1 on both sides.
    f1 = found["f1"]
    assert (f1.songs, f1.first, f1.second, f1.difference) == (1, 0.25, 0.5, -0.25)
    assert (f1.low, f1.high, f1.p_value) == (None, None, 1.0)
    # Frechet distances are of all songs, and these differ.
    assert "vggish_frechet" not in found
    assert "Frechet distances are left out" in " ".join(comparison.notes)
    assert "with 2 songs no p-value can be below 0.5" in " ".join(comparison.notes)


def test_rows_of_one_evaluation_and_means_over_corpora(tmp_path):
    def song(model, few):
        return {"model": {"signal": model}, "few": {"signal": few}}

    corpora = {
        "own/x:test": {"p": song(1.0, 2.0), "q": song(1.0, 4.0)},
        "own/y:test": {"p": song(5.0, 2.0)},
    }
    evaluation(tmp_path / "a", corpora)
    comparison = compare_rows(tmp_path / "a", row="model", to="few")
    assert comparison.second == f"{tmp_path}/a: Few"
    assert [corpus.title for corpus in comparison.corpora] == [
        "own/x, test",
        "own/y, test",
        "All corpora",
    ]
    everything = by_column(comparison.corpora[-1])
    # Means over songs are 1 and 5, 3 and 2; means over corpora 3 and 2.5.
    signal = everything["signal"]
    assert (signal.first, signal.second, signal.difference) == (3.0, 2.5, 0.5)
    # Songs weigh 1/4, 1/4, 1/2: contributions -1/4, -3/4, +3/2. Of the eight sums +-1/4 +-3/4 +-3/2
    # only the actual one and its opposite are 1/2, and the others are larger.
    assert (signal.songs, signal.p_value) == (3, 1.0)
    assert (signal.low, signal.high) == (None, None)
    frechet = everything["vggish_frechet"]
    assert (frechet.first, frechet.second, frechet.difference) == (2.0, 3.5, -1.5)
    assert (frechet.low, frechet.p_value, frechet.p_holm) == (None, None, None)


def test_what_the_protocol_takes_from_the_models_is_told(tmp_path):
    corpora = {"own/x:test": {f"song {k}": scores(1.0 + k) for k in range(6)}}
    ours = {"trims_references": True, "segment_frames": 64}
    for folder, settings in {
        "a": ours,
        "alike": ours,
        "other": {"trims_references": False, "segment_frames": 256},
        "older": None,
    }.items():
        evaluation(tmp_path / folder, corpora, settings)
    for folder in ("alike", "older"):
        assert compare_rows(tmp_path / "a", tmp_path / folder).notes == []
    first, second = compare_rows(tmp_path / "a", tmp_path / "other").notes
    assert "trims_references of the models differs, True and False: F1" in first
    assert "segment_frames of the models differs, 64 and 256: renderings" in second


def test_many_songs_are_sampled(tmp_path):
    songs = {
        f"song {k}": {"model": {"signal": 2.0 + k}, "few": {"signal": 1.0 + k}} for k in range(20)
    }
    evaluation(tmp_path / "a", {"own/x:test": songs})
    [corpus] = compare_rows(tmp_path / "a", to="few").corpora
    assert not corpus.exact
    signal = by_column(corpus)["signal"]
    assert (signal.difference, signal.low, signal.high) == pytest.approx((1.0, 1.0, 1.0))
    # All differences alike: 2 of 2^20 patterns, which 99,999 random ones hardly find.
    assert signal.p_value < 1e-4


def test_what_is_not_comparable_is_named(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    songs = {"own/x:test": {"p": scores(1.0)}}
    evaluation(a, songs)
    for settings, message in (
        ({"protocol": "released"}, r"b: protocol: expected 'aligned', as in .*a, got 'released'"),
        ({"protocol": None}, r"b: protocol: expected 'aligned', as in .*a, got none"),
        ({"max_minutes": 1.0}, r"b: max_minutes: expected 10\.0, as in .*a, got 1\.0"),
    ):
        evaluation(b, songs, settings)
        with pytest.raises(ReportError, match=message):
            compare_rows(a, b)
    content = evaluation(b, songs)
    other = content["corpora"][0]["per_song"][0]
    other["checksum"] = "another"
    (b / "scores.json").write_text(json.dumps(content))
    with pytest.raises(ReportError, match="x, test: p: expected a recording with the checksum sum"):
        compare_rows(a, b)
    other["checksum"] = ""
    (b / "scores.json").write_text(json.dumps(content))
    assert "compared by length only" in " ".join(compare_rows(a, b).notes)
    other["seconds"] = 61.0
    (b / "scores.json").write_text(json.dumps(content))
    with pytest.raises(ReportError, match=r"p: expected 60\.00 s of audio, got 61\.00 s"):
        compare_rows(a, b)
    evaluation(b, {"own/x:validation": {"p": scores(1.0)}})
    with pytest.raises(
        ReportError, match=r"b: expected songs that .*a has as well, got own/x, val"
    ):
        compare_rows(a, b)
    with pytest.raises(ReportError, match="expected a row 'none', got model, few"):
        compare_rows(a, row="none", to="few")
    with pytest.raises(ConfigError, match="to: expected another row, or a second evaluation"):
        compare_rows(a, tmp_path / "b/../a")
    evaluation(b, songs, {"transcriber": "basic_pitch"})
    notes = " ".join(compare_rows(a, b).notes)
    assert "Evaluation.transcriber differs, none and 'basic_pitch'" in notes


def test_the_table_and_the_file(tmp_path, capsys):
    songs = {
        name: {"model": {"signal": one, "f1": 0.5}, "few": {"signal": two, "f1": 0.5}}
        for name, one, two in (("p", 1.0, 2.0), ("q", 1.5, 2.0), ("r", 1.0, 2.5))
    }
    evaluation(tmp_path / "a", {"own/x:test": songs})
    main(["compare", str(tmp_path / "a"), "--to", "few", "-o", str(tmp_path / "out.json")])
    text = capsys.readouterr().out
    lines = {
        line.split(" | ")[0].strip("*| "): line.strip("| ").split(" | ")[1:]
        for line in text.splitlines()
        if line.startswith("|")
    }
    assert lines["signal\u00a0↓"] == [
        "1.17",
        "2.17",
        "−1.00",
        "[−1.50, −0.50]",
        "0.2500",
        "0.5000",
        "3",
    ]
    assert lines["f1\u00a0↑"] == [
        "0.500",
        "0.500",
        "0.000",
        "[0.000, 0.000]",
        "1.0000",
        "1.0000",
        "3",
    ]
    assert lines["vggish_frechet\u00a0↓".replace("_", "\\_")] == [
        "2.00",
        "3.50",
        "−1.50",
        "–",
        "–",
        "–",
        "3",
    ]
    assert "all patterns of signs" in text
    assert "neither interval nor test" in text
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["format"] == 1
    [signal, _, frechet] = written["corpora"][0]["columns"]
    assert signal["difference"] == pytest.approx(-1.0)
    assert frechet["p_value"] is None
    assert text == comparison_table(compare_rows(tmp_path / "a", to="few"))
