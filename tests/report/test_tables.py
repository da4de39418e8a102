import json
import re
from pathlib import Path

import pytest

from spectrodiff.core.errors import ReportError
from spectrodiff.evaluation.results import read_results
from spectrodiff.report import markdown_table, paper
from spectrodiff.report.beside_paper import comparable_means
from spectrodiff.report.formatting import (
    column_decimals,
    decimals_by_column,
    format_number,
    format_seconds,
    ticks,
    time_ticks,
)
from spectrodiff.report.tables import corpus_table, measured_table, summary_table
from tests.support.made_up import as_results, make_evaluation

CONFIGS = sorted((Path(__file__).parents[2] / "configs/paper").glob("*.gin"))
SIX = {
    "cerberus4/redux:test": ["a"],
    "maestro/v3:test": ["a"],
    "musicnet/original_mt3:test": ["a"],
    "slakh/redux:test": ["a"],
    "guitarset/mic_and_mix:validation": ["a"],
    "urmp/mt3:validation": ["a"],
}


def cells(markdown):
    """Table rows of a Markdown text as pairs of the first cell and the others."""
    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines() if line[:1] == "|"]
    return [(row[0].strip("*"), row[1:]) for row in rows]


@pytest.mark.parametrize(
    ("column", "digits"),
    [
        ("vggish_reconstruction", 0.011),
        ("trill_reconstruction", 0.011),
        ("trill_frechet", 0.011),
        ("transcription_f1_full", 0.011),
    ],
)
def test_the_papers_means_are_those_of_its_corpora(column, digits):
    """Table 1 is the mean over the table per corpus, up to the rounding of both."""
    for row, means in paper.MEAN.items():
        values = [corpus.rows[row][column] for corpus in paper.CORPORA.values()]
        assert sum(values) / 6 == pytest.approx(means[column], abs=digits), row


@pytest.mark.parametrize(
    ("descriptions", "expected"),
    [
        (["small_with_context"], paper.SMALL_CONTEXT),
        (["runs/base_context"], paper.BASE_CONTEXT),
        (["google/music-spectrogram-diffusion"], paper.BASE_CONTEXT),
        (["runs/small-no-context"], paper.SMALL_NO_CONTEXT),
        (["runs/a", "Small w/o context"], paper.SMALL_NO_CONTEXT),
        (["runs/a", "Base w/ context"], paper.BASE_CONTEXT),
        (["small_autoregressive"], paper.SMALL_AUTOREGRESSIVE),
        (["small"], None),
        (["base/runs/small_context"], None),
        (["database/smaller_context"], None),
        (["untrained"], None),
    ],
)
def test_which_row_of_the_paper_a_model_repeats(descriptions, expected):
    assert paper.find_row("model", *descriptions) == expected
    assert paper.find_row("model_griffin_lim", *descriptions) is None
    assert paper.find_row("encoded", *descriptions) == paper.ENCODED
    assert paper.find_row("raw", *descriptions) == paper.RAW


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_numbers_are_those_at_the_head_of_the_papers_configs(path):
    text = path.read_text()
    row = re.search(r'the row "(.*?)"', text)[1]
    if path.stem.startswith(("small", "base")):
        title = re.search(r"Evaluation\.title = '(.*)'", text)[1]
        assert paper.find_row("model", f"runs/{path.stem}", title) == row
    lines = [line.strip("# ") for line in text.splitlines()]
    mean = next(line for line in lines if re.fullmatch(r"[\d. -]+", line)).split()
    assert [float(word) for word in mean if word != "-"] == list(paper.MEAN[row].values())
    for corpus in paper.CORPORA.values():
        name = corpus.title.rsplit(" ", 1)[0]
        [found] = [line for line in lines if re.match(rf"{name} +{corpus.songs} ", line)]
        scores = found.removeprefix(name).split()[1:]
        assert [float(word) for word in scores] == list(corpus.rows[row].values())


def test_a_corpus_is_the_papers_only_on_the_papers_split():
    assert paper.find_corpus("maestro/v3", "test").songs == 177
    assert paper.find_corpus("maestro/v3", "validation") is None
    assert paper.find_corpus("guitarset/mic_and_mix", "validation").songs == 238
    assert paper.find_corpus("maestros", "test") is None


def test_summary_beside_table_1_and_the_difference(tmp_path):
    scores = make_evaluation(tmp_path, SIX, seconds=1.1)
    rows = cells(markdown_table(as_results(scores)))
    assert rows[0][1] == [
        f"{title}\u00a0{arrow}"
        for title, arrow in [
            ("VGGish rec.", "↓"),
            ("VGGish FAD", "↓"),
            ("TRILL rec.", "↓"),
            ("TRILL FAD", "↓"),
            ("F1", "↑"),
            ("RT", "↑"),
        ]
    ]
    assert rows[2:5] == [
        ("Model", ["3.20", "1.04", "–", "–", "0.312", "1.35"]),
        ("Paper: Base w/ context", ["3.13", "1.00", "2.74", "0.27", "0.36", "1.05"]),
        ("Difference", ["+0.07", "+0.04", "–", "–", "−0.048", "+0.30"]),
    ]
    assert rows[5:8] == [
        ("Ground truth encoded", ["2.10", "0.52", "–", "–", "0.355", "13.20"]),
        ("Paper", ["2.14", "0.51", "1.54", "0.05", "0.36", "12.25"]),
        ("Difference", ["−0.04", "+0.01", "–", "–", "−0.005", "+0.95"]),
    ]
    kinds = [cell.kind for cell in summary_table(as_results(scores)).lines[2].cells]
    assert kinds == ["worse", "worse", "", "", "worse", "better"]
    assert ("Paper: Small w/ context", ["3.56", "1.10", "6.40", "0.53", "0.25", "3.07"]) in rows


def test_some_of_the_papers_corpora_are_compared_with_its_means_over_those(tmp_path):
    scores = make_evaluation(tmp_path, {name: SIX[name] for name in list(SIX)[2:4]}, seconds=1.1)
    means, titles = comparable_means(as_results(scores))
    assert titles == ["MusicNet test", "Slakh2100 test"]
    # (3.74 + 2.80) / 2 and (0.25 + 0.39) / 2, by hand.
    assert means[paper.BASE_CONTEXT]["vggish_reconstruction"] == pytest.approx(3.27)
    assert means[paper.BASE_CONTEXT]["transcription_f1_full"] == pytest.approx(0.32)
    assert means[paper.BASE_CONTEXT][paper.REAL_TIME] == 1.05
    text = markdown_table(as_results(scores))
    assert "| Paper: Base w/ context | 3.27 |" in text
    assert "| Difference | −0.07 |" in text
    assert "MusicNet test, Slakh2100 test" in text
    assert "MusicNet test 1 here, 15 there; Slakh2100 test 1 here, 146 there." in text


def test_other_music_has_no_difference_but_the_papers_numbers_stand_beside(tmp_path):
    corpora = {"maestro/v3:test": ["a"], "soundfont/narrow:test": ["a"]}
    text = markdown_table(as_results(make_evaluation(tmp_path, corpora, seconds=1.1)))
    assert "Difference" not in text
    assert "soundfont/narrow, test is not among these" in text
    assert "| Paper: Base w/ context | 3.13 |" in text
    # Its own table still compares the corpus that the paper has.
    assert "3.20<br>[2.88, 3.52]<br>paper 2.93 (+0.27)" in text


@pytest.mark.parametrize("protocol", ["aligned", None])
def test_another_protocol_has_the_papers_numbers_without_differences(tmp_path, protocol):
    scores = make_evaluation(tmp_path, SIX, seconds=1.1)
    scores["settings"]["protocol"] = protocol
    text = markdown_table(as_results(scores))
    assert "Difference |" not in text
    assert "| Paper: Base w/ context | 3.13 |" in text
    assert "3.20<br>[2.88, 3.52]<br>paper 2.93 |" in text
    why = f"has the protocol “{protocol}”" if protocol else "names no protocol"
    assert text.count(why) == text.count("No differences are given") == 1
    scores["settings"]["protocol"] = "released"
    assert "No differences" not in markdown_table(as_results(scores))


def test_drums_and_other_notes_stand_below_their_sum(tmp_path):
    scores = make_evaluation(tmp_path, {"own/songs:test": ["a", "b"]}, seconds=1.1)
    for part in ("nondrums", "drums"):
        name = f"transcription_f1_full_{part}"
        scores["metrics"].insert(0, {"name": name, "title": f"F1 {part}", "better": "higher"})
        scores["mean"]["model"][name] = 0.25
        scores["corpora"][0]["scores"]["model"][name] = {"value": 0.25}
    results = as_results(scores)
    for table in (measured_table(results), corpus_table(results, results.corpora[0])):
        lines = [(line.title[:-2], line.kind) for line in table.lines]
        place = lines.index(("F1", "ours"))
        assert lines[place + 1 : place + 3] == [("F1 drums", "part"), ("F1 nondrums", "part")]
        assert lines[place + 3] == ("Onset F1", "ours")
    # Where their sum is in another table, they stand for themselves.
    kinds = {
        line.title[:-2]: line.kind for line in measured_table(results, without_paper=True).lines
    }
    assert "F1" not in kinds
    assert kinds["F1 drums"] == kinds["F1 nondrums"] == "ours"


def test_a_column_has_the_same_decimals_everywhere(tmp_path):
    corpora = {"maestro/v3:test": ["a", "b"], "own/songs:test": ["c"]}
    scores = make_evaluation(tmp_path, corpora, seconds=1.1)
    # One score of 100 or more sets a single decimal for its whole column, 0.05 four without others.
    scores["corpora"][1]["scores"]["model"]["onset_f1"]["value"] = 123.456
    for corpus in scores["corpora"]:
        for row in corpus["scores"].values():
            row["vggish_frechet"]["value"] = 0.05
    scores["mean"] = {"model": {"onset_f1": 0.123, "vggish_frechet": 0.05}}
    results = as_results(scores)
    assert decimals_by_column(results)["onset_f1"] == 1
    assert decimals_by_column(results)["vggish_frechet"] == 4
    tables = [
        measured_table(results),
        *(corpus_table(results, corpus) for corpus in results.corpora),
    ]
    for title, decimals in (("Onset F1\u00a0↑", 1), ("VGGish FAD\u00a0↓", 4)):
        for table in tables:
            [line] = [line for line in table.lines if line.title == title]
            texts = [text for cell in line.cells for text in (cell.text, *cell.notes[:1])]
            numbers = [number for text in texts for number in re.findall(r"\d+\.(\d+)", text)]
            assert numbers
            assert {len(number) for number in numbers} == {decimals}


def test_corpus_table_says_interval_extrapolation_and_frames(tmp_path):
    scores = make_evaluation(tmp_path, {"own/songs:test": ["a", "b"]}, seconds=1.1)
    text = markdown_table(as_results(scores))
    table = dict(cells(text.split("## own/songs, test")[1]))
    assert table["VGGish FAD\u00a0↓"][0] == "1.04<br>[0.94, 1.14]<br>∞ 0.83<br>N 12,345"
    assert table["Onset F1\u00a0↑"] == [
        "0.512<br>[0.461, 0.563]",
        "0.605<br>[0.544, 0.665]",
        "0.830<br>[0.747, 0.913]",
    ]


def test_fewer_songs_than_asked_and_missing_columns_are_said(tmp_path):
    scores = make_evaluation(tmp_path, {"own/songs:test": ["a", "b"]}, seconds=1.1)
    scores["corpora"][0]["asked"] = 8
    scores["corpora"][0]["scores"]["raw"]["onset_f1"] = None
    scores["mean"]["model"]["vggish_frechet"] = float("nan")
    text = markdown_table(as_results(scores))
    assert "- **own/songs, test: scores of 2 of 8 songs**" in text
    assert "TRILL FAD: empty, because its weights are not here" in text
    rows = cells(text)
    assert dict(rows)["Onset F1\u00a0↑"][2] == "–"
    assert rows[3] == ("VGGish FAD\u00a0↓", ["–", "0.52", "0.00"])


def test_markdown_of_hostile_names_stays_one_table(tmp_path):
    title = "a|b\n<script>*x*</script>"
    scores = make_evaluation(tmp_path, {"own|x/y:test": ["a"]}, seconds=1.1, title=title)
    scores["rows"][0]["title"] = "one|two"
    text = markdown_table(as_results(scores))
    assert text.startswith("# a|b \\<script\\>\\*x\\*\\</script\\>\n")
    widths = {line.replace("\\|", "").count("|") for line in text.splitlines() if line[:1] == "|"}
    assert widths == {5}
    assert "| one\\|two |" in text


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([3.1, None], 2),
        ([0.31], 3),
        ([0.05, 0.0], 4),
        ([1234.5], 1),
        ([], 2),
        ([float("nan"), float("inf")], 2),
    ],
)
def test_digits(values, decimals):
    assert column_decimals(values) == decimals


def test_numbers_and_times():
    assert format_number(-0.004, 2, sign=True) == "0.00"
    assert format_number(0.075, 3, sign=True) == "+0.075"
    assert format_number(-12.3456, 2) == "−12.35"
    assert format_number(None, 2) == format_number(float("nan"), 2) == "–"
    assert [format_seconds(s) for s in (0, 59.4, 61, 3725)] == ["0:00", "0:59", "1:01", "1:02:05"]
    assert ticks(0, 6.2) == [0, 2, 4, 6]
    assert ticks(0, 0.83) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert ticks(5, 5) == [5]
    assert time_ticks(47) == [0, 10, 20, 30, 40]
    assert time_ticks(600) == [0, 120, 240, 360, 480, 600]


def test_scores_that_are_none_are_refused(tmp_path):
    with pytest.raises(ReportError, match=r"scores\.json: expected the scores .* no such file"):
        read_results(tmp_path)
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(ReportError, match=r"scores\.json: expected the scores of an evaluation"):
        read_results(tmp_path)
    (tmp_path / "scores.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(ReportError, match=r"scores\.json: format: expected 1, got 2"):
        read_results(tmp_path)
    good = make_evaluation(tmp_path, {"own/songs:test": ["a"]}, seconds=1.1)
    for change, message in (
        ({"rows": "model"}, r"\.rows: expected a list, got a text"),
        ({"rows": [{"name": "x"}]}, r"\.rows\[0\]\.title: expected a text, got nothing"),
        (
            {"metrics": [{"name": "x", "title": "X", "better": "up"}]},
            r"\[0\]\.better: expected lower or higher",
        ),
        (
            {"corpora": [{"name": "x", "split": "", "songs": -1}]},
            r"\.songs: expected a whole number >= 0",
        ),
        ({"mean": {"model": {"x": "y"}}}, r"\.mean\.model\.x: expected a number, got a text"),
        ({"mean": [1]}, r"\.mean: expected an object, got a list"),
    ):
        with pytest.raises(ReportError, match=message):
            markdown_table(as_results(good | change))
    # What may be missing is only the optional.
    optional = ("device", "settings", "missing", "speed", "created", "mean")
    markdown_table(as_results({key: good[key] for key in good if key not in optional}))
