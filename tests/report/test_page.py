import json
import re
import xml.etree.ElementTree

import matplotlib.image
import numpy as np
import pytest
import soundfile

from spectrodiff.core.errors import AudioError, ReportError
from spectrodiff.report import write_report
from spectrodiff.report.formatting import decimals_by_column
from spectrodiff.report.media import choose_songs, media_url
from spectrodiff.report.plots import minutes_plot, songs_plot
from tests.support.made_up import HOSTILE, METRICS, ROWS, as_results, make_evaluation
from tests.support.page_parser import local_file, parse, table_cells

PLAIN = [f"song {k}" for k in range(7)]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    corpora = {"maestro/v3:test": PLAIN, 'own "&<songs>:test': list(HOSTILE)}
    content = make_evaluation(folder, corpora, seconds=2.0, title="<b>A</b> & \"B\" 'C'")
    content["corpora"][1]["asked"] = 5
    (folder / "scores.json").write_text(json.dumps(content))
    return write_report(folder)


@pytest.fixture(scope="module")
def document(page):
    return parse(page)


def test_the_page_is_whole_without_a_network(page, document):
    for element in [*document.all("link"), *document.all("script")]:
        assert element.attributes.get("href", "data:,") == "data:,"
        assert "src" not in element.attributes
    addresses = [
        element.attributes["src"] for name in ("img", "audio") for element in document.all(name)
    ]
    addresses += [
        link.attributes["href"]
        for link in document.all("a")
        if not link.attributes["href"].startswith("#")
    ]
    # Two corpora, three songs each, three rows: a picture and a sound; then links to all sounds.
    assert len(addresses) == 2 * 2 * 3 * 3 + 3 * (len(PLAIN) + len(HOSTILE)) + len(
        ["scores.json", "table.md"]
    )
    for address in addresses:
        assert local_file(page, address).is_file(), address
    anchors = [link.attributes["href"] for link in document.all("nav")[0].all("a")]
    ids = {section.attributes.get("id") for section in document.all("section")}
    assert {anchor[1:] for anchor in anchors} <= ids
    style = "".join(element.text for element in document.all("style"))
    assert not re.search(r"url\(|@import", style)


def test_hostile_names_are_text(document):
    names = [
        cell.text
        for table in document.all("table", class_="songs")
        for cell in table.all("th", scope="row")
    ]
    assert names == [*PLAIN, *HOSTILE]
    assert len(document.all("script")) == 1
    assert document.all("title")[0].text == "<b>A</b> & \"B\" 'C'"
    assert [h.text for h in document.all("h1")] == ["<b>A</b> & \"B\" 'C'"]
    titles = {title.text for title in document.all("title")}
    assert f"{HOSTILE[0]}, Model: 3.20" in titles
    labels = [element.attributes["aria-label"] for element in document.all("svg", role="img")]
    assert 'VGGish rec. of all songs, own "&<songs>, test' in labels


def test_tables_hold_what_was_found(document):
    summary, papers, maestro, _ = document.all("table")[:4]
    rows = {row[0]: row for row in table_cells(summary)}
    assert rows["VGGish rec.\u00a0↓"][1:] == ["3.20", "2.10", "0.00"]
    assert rows["RT\u00a0↑"][1:] == ["1.35", "13.20", "–"]
    # One corpus is not the paper's: its means are there, but closed.
    [details] = [d for d in document.all("details") if papers in d.all("table")]
    assert "open" not in details.attributes
    assert table_cells(papers)[-3][:3] == ["Paper: Base w/ context", "3.13", "1.00"]
    rows = {row[0]: row for row in table_cells(maestro)}
    assert rows["VGGish FAD\u00a0↓"][2] == "0.52 [0.47, 0.57] ∞ 0.42 N 12,345 paper 0.43 (+0.09)"
    better = [td.text for td in maestro.all("td", class_="better")]
    assert better == [
        "0.312[0.281, 0.343]paper 0.30 (+0.012)",
        "0.355[0.320, 0.391]paper 0.27 (+0.085)",
    ]


def test_missing_songs_and_columns_stand_out(document):
    [warning] = document.all("aside")
    assert 'own "&<songs>, test: scores of 4 of 5 songs' in warning.text
    assert [b.text for b in document.all("b", class_="short")] == ["4 of 5 songs"]
    [missing] = document.all("div", class_="missing")
    assert "TRILL FAD: its weights are not here. (trill/saved_model.pb" in missing.text


def test_a_picture_lies_on_the_time_axis_of_its_sound(page, document):
    """The tone begins in the picture at second 1 of the deck's time axis."""
    deck = document.all("article")[0]
    seconds = float(deck.attributes["data-seconds"])
    assert seconds == 2.0
    for strip in deck.all("figure"):
        [image] = strip.all("img")
        width = float(re.fullmatch(r"width: ([\d.]+)%", image.attributes["style"])[1])
        picture = matplotlib.image.imread(local_file(page, image.attributes["src"]))
        assert picture.shape[:2] == (128, 100)
        columns = picture[..., :3].sum(axis=(0, 2))
        begin = np.flatnonzero(columns > columns.max() / 2)[0]
        at_seconds = begin / picture.shape[1] * width / 100 * seconds
        # A frame of 40 ms sees the tone up to two hops before it.
        assert at_seconds == pytest.approx(1.0, abs=0.041)
    labels = {
        span.text: span.attributes["style"]
        for span in deck.all("div", class_="axis")[0].all("span")
    }
    assert labels == {"0:00": "left: 0.0000%", "0:01": "left: 50.0000%", "0:02": "left: 100.0000%"}


def test_frequencies_stand_at_their_height_on_the_mel_axis(document):
    """The 128 bands have their peaks at even distances on the mel axis up to 8 kHz."""
    strip = document.all("figure", class_="strip")[0]
    labels = {
        span.text: float(re.fullmatch(r"bottom: ([\d.]+)%", span.attributes["style"])[1])
        for span in strip.all("div", class_="hertz")[0].all("span")
    }
    assert list(labels) == ["100", "500", "1k", "2k", "4k", "8k"]
    band = np.log1p(8000 / 700) / 129
    for hz, label in ((100, "100"), (500, "500"), (1000, "1k"), (2000, "2k"), (4000, "4k")):
        # Band i peaks at i + 1 steps; its pixel is centered at i + 1/2.
        expected = 100 * (np.log1p(hz / 700) / band - 0.5) / 128
        assert labels[label] == pytest.approx(expected, abs=0.05)
    assert 99 < labels["8k"] <= 100


def test_rows_of_a_song_share_their_colors(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": ["a"]}, seconds=2.0)
    files = content["corpora"][0]["per_song"][0]["media"]
    rng = np.random.default_rng(3)
    noise = rng.normal(size=32_000)
    for row, level in (("model", 1e-2), ("encoded", 1e-2), ("raw", 1e-1)):
        soundfile.write(tmp_path / files[row], level * noise, 16_000, subtype="PCM_24")
    page = write_report(tmp_path)
    images = [image.attributes["src"] for image in parse(page).all("img")]
    model, encoded, raw = (matplotlib.image.imread(local_file(page, image)) for image in images)
    np.testing.assert_array_equal(model, encoded)
    # Ten times as loud is brighter at every single pixel but those at the ends of the scale.
    difference = raw[..., :3].sum(axis=2) - model[..., :3].sum(axis=2)
    assert difference.min() >= 0
    assert np.mean(difference > 0) > 0.95
    # The darkest twentieth and the brightest half percent are cut, of all rows together.
    darkest = np.mean([np.all(p == model.min(axis=(0, 1)), axis=2) for p in (model, encoded, raw)])
    assert darkest == pytest.approx(0.05, abs=0.01)


def test_songs_are_chosen_by_the_first_model(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": PLAIN}, seconds=1.1)
    content["rows"] = [
        {"name": "raw", "title": "Raw", "source": "raw"},
        {"name": "encoded", "title": "Encoded"},
        {"name": "model", "title": "Model"},
    ]
    (tmp_path / "scores.json").write_text(json.dumps(content))
    document = parse(write_report(tmp_path))
    assert document.all("article")[0].all("header")[0].all("p")[0].text == "Best: VGGish rec. 3.20"
    classes = [figure.attributes["class"] for figure in document.all("figure", class_="strip")[:3]]
    assert classes == ["strip reference-0", "strip reference-1", "strip row-0"]
    assert "Scores of the row Model." in [p.text for p in document.all("p")]


def test_tables_can_be_reached_and_explain_their_columns(document):
    for region in document.all("div", class_="scroll"):
        assert (region.attributes["tabindex"], region.attributes["role"]) == ("0", "region")
        assert region.attributes["aria-label"]
    hints = [th.attributes.get("title", "") for th in document.all("table")[0].all("th")]
    assert any("mean over frames" in hint for hint in hints)
    assert document.text.count("follow listeners best") == 1
    [made] = document.all("dl", class_="made")
    assert [dt.text for dt in made.all("dt")] == ["Model", "Ground truth encoded"]
    assert made.all("dd")[0].text == "dpmpp, 50 steps, the model's inverter"
    assert "protocol: released" in [span.text for span in document.all("span")]


def test_decks_offer_every_row_and_work_without_a_script(document):
    deck = document.all("article")[0]
    assert [label.text.strip() for label in deck.all("label")] == list(ROWS.values())
    assert [radio.attributes["value"] for radio in deck.all("input")] == ["0", "1", "2"]
    assert all("controls" in audio.attributes for audio in deck.all("audio"))
    [slider] = deck.all("div", role="slider")
    assert slider.attributes["tabindex"] == "0"
    assert slider.attributes["aria-valuemax"] == "2.00"


def test_songs_from_best_to_worst(document):
    headers = [article.all("header")[0] for article in document.all("article")]
    assert [header.all("h4")[0].text for header in headers[:3]] == ["song 0", "song 3", "song 6"]
    assert [header.all("p")[0].text for header in headers[:3]] == [
        "Best: VGGish rec. 3.20",
        "Median: VGGish rec. 4.16",
        "Worst: VGGish rec. 5.12",
    ]


def test_higher_is_better_where_it_is(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": PLAIN}, seconds=1.1)
    content["metrics"] = [m for m in content["metrics"] if m["better"] == "higher"]
    results = as_results(content)
    [corpus] = results.corpora
    decimals = decimals_by_column(results)
    chosen = choose_songs(corpus, results.columns, "model", decimals, 2)
    assert [choice.song.name for choice in chosen] == ["song 6", "song 0"]
    assert len(choose_songs(corpus, results.columns, "model", decimals, 99)) == 7
    unranked = choose_songs(corpus, [], "model", decimals, 2)
    assert [choice.song.name for choice in unranked] == ["song 0", "song 1"]


def points(svg):
    root = xml.etree.ElementTree.fromstring(svg)
    lines = {
        line.get("class").split()[-1]: np.array(
            [pair.split(",") for pair in line.get("points").split()], float
        )
        for line in root.iter("polyline")
    }
    return root, lines


def test_minutes_are_means_over_the_songs_that_have_them(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": ["a", "b"]}, seconds=1.1)
    first, second = content["corpora"][0]["per_song"]
    first["minutes"] = {"model": {"onset_f1": [0.2, 0.4, None, 0.8]}}
    second["minutes"] = {"model": {"onset_f1": [0.4, 0.6]}, "raw": {"onset_f1": [0.8, 0.8]}}
    results = as_results(content)
    column = next(c for c in results.columns if c.name == "onset_f1")
    root, lines = points(minutes_plot(results.corpora[0], column, results.rows, 3))
    assert list(lines) == ["row-0", "reference-1"]
    notes = [title.text for title in root.iter("title")]
    assert notes == [
        "Model, minute 1: 0.300, 2 songs",
        "Model, minute 2: 0.500, 2 songs",
        "Model, minute 4: 0.800, 1 songs",
        "Ground truth raw, minute 1: 0.800, 1 songs",
        "Ground truth raw, minute 2: 0.800, 1 songs",
    ]
    model, raw = lines["row-0"], lines["reference-1"]
    # Equal steps of time and of score are equal on paper: minutes 1, 2, 4; scores 0.3, 0.5, 0.8.
    assert np.diff(model[:, 0])[1] == pytest.approx(2 * np.diff(model[:, 0])[0], abs=0.2)
    assert np.diff(model[:, 1])[1] == pytest.approx(1.5 * np.diff(model[:, 1])[0], abs=0.2)
    assert model[2, 1] == raw[0, 1]
    assert model[0, 1] > model[1, 1]


def test_a_mark_per_song_and_the_median(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": PLAIN}, seconds=1.1)
    results = as_results(content)
    column = next(c for c in results.columns if c.name == "vggish_reconstruction")
    root, _ = points(songs_plot(results.corpora[0], column, results.rows, 2))
    model = list(root.iter("circle"))
    shapes = [path.get("d") for path in root.iter("path")]
    assert [shapes.count(shape) for shape in dict.fromkeys(shapes)] == [7, 7]
    assert len(model) == 7
    places = [float(circle.get("cx")) for circle in model]
    assert np.diff(places) == pytest.approx(np.full(6, np.diff(places).mean()), abs=0.11)
    medians = [line for line in root.findall("{*}line") if "median" in line.get("class")]
    assert float(medians[0].get("x1")) == pytest.approx(places[3], abs=0.11)
    assert "song 3, Model: 4.16" in [title.text for title in root.iter("title")]


def test_one_song_and_one_minute_have_no_plot(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": ["a"]}, seconds=1.1, minutes=1)
    results = as_results(content)
    [corpus] = results.corpora
    for column in results.columns:
        assert minutes_plot(corpus, column, results.rows, 2) is None
        assert songs_plot(corpus, column, results.rows, 2) is None
    document = parse(write_report(tmp_path))
    assert [p.text for p in document.all("header")[-1].all("p")] == []
    assert "one song only" in document.all("aside")[0].text


def test_addresses_of_any_name():
    assert media_url("media/a b/100%.flac") == "./media/a%20b/100%25.flac"
    assert media_url('media/#1?"<x>.flac') == "./media/%231%3F%22%3Cx%3E.flac"
    assert media_url("javascript:alert(1)") == "./javascript%3Aalert%281%29"


def test_names_that_are_no_text(tmp_path):
    """File names can be any bytes; Python represents invalid UTF-8 as lone surrogates."""
    content = make_evaluation(tmp_path, {"own/songs:test": ["cafe"]}, seconds=1.1)
    content["title"] = content["corpora"][0]["per_song"][0]["song"] = "caf\udce9"
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert [h.text for h in parse(write_report(tmp_path)).all("h4")] == ["caf?"]
    assert (tmp_path / "table.md").read_text().startswith("# caf?\n")


def test_audio_that_is_not_there_is_named_and_nothing_is_written(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": ["a", "b"]}, seconds=1.1)
    lost = tmp_path / "media/0/b/raw.flac"
    lost.unlink()
    with pytest.raises(AudioError, match=r"0/b/raw\.flac: expected audio .* got no such file"):
        write_report(tmp_path)
    lost.write_bytes(b"not audio")
    with pytest.raises(AudioError, match=r"0/b/raw\.flac: expected a readable audio file"):
        write_report(tmp_path)
    for address in ("../secret.flac", "/etc/passwd", ""):
        content["corpora"][0]["per_song"][1]["media"]["raw"] = address
        (tmp_path / "scores.json").write_text(json.dumps(content))
        with pytest.raises(ReportError, match="expected audio inside this folder"):
            write_report(tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_without_audio_there_are_tables_and_plots(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": PLAIN}, seconds=1.1)
    for song in content["corpora"][0]["per_song"]:
        song["media"] = {}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    document = parse(write_report(tmp_path))
    assert not document.all("audio")
    kinds = [figure.all("figcaption")[0].text for figure in document.all("figure")]
    scored = [title for name, (title, *_) in METRICS.items() if not name.endswith("frechet")]
    assert [kind[:-2] for kind in kinds] == 2 * scored


def test_columns_without_scores_are_left_out_and_other_music_has_no_paper(tmp_path):
    content = make_evaluation(tmp_path, {"own/songs:test": PLAIN}, seconds=1.1)
    content["mean"] = {row: {"onset_f1": 0.4} for row in ROWS}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    document = parse(write_report(tmp_path))
    first, second = document.all("table")[:2]
    assert [row[0] for row in table_cells(first)] == [
        "Mean over corpora",
        "Onset F1\u00a0↑",
        "RT\u00a0↑",
    ]
    assert table_cells(first)[1][1:] == ["0.400", "0.400", "0.400"]
    assert table_cells(second)[0][0] == "Score"
    assert "Paper" not in document.text


def test_empty_evaluation(tmp_path):
    content = {"format": 1, "model": "", "rows": [], "metrics": [], "corpora": []}
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert "Evaluation" in parse(write_report(tmp_path)).text
