import json

import numpy as np
import pytest
import scipy.stats
import soundfile

from spectrodiff.commands.program import main
from spectrodiff.core.errors import AudioError, ConfigError, OutputError, ReportError
from spectrodiff.report import tally, write_listening_sheet
from spectrodiff.report.listening import key_path
from tests.support.made_up import HOSTILE, make_evaluation, tone
from tests.support.page_parser import parse


def report(folder, model, songs, corpus="own/songs:test", seconds=1.5):
    folder.mkdir()
    make_evaluation(folder, {corpus: songs}, model=model, seconds=seconds)
    return folder


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")
    first = report(folder / "first", "runs/unmistakable_one", [*HOSTILE, "a", "only here"])
    second = report(folder / "second", "runs/unmistakable_two", ["b", *HOSTILE, "a"], seconds=1.25)
    return [first, second]


def sheet_of(page):
    [data] = parse(page).all("script", id="sheet")
    return json.loads(data.text)


def test_shared_songs_under_names_that_tell_nothing(reports, tmp_path):
    page = write_listening_sheet(reports, tmp_path / "sheet", match_loudness=False)
    sheet = sheet_of(page)
    assert sheet["check"] in sheet["trials"][0]["files"]
    key = json.loads((tmp_path / "sheet-key.json").read_text())
    assert key["sheet"] == sheet["id"]
    songs = {tuple(trial["song"]) for trial in sheet["trials"]}
    assert songs == {("own/songs", "test", name) for name in (*HOSTILE, "a")}
    files = [name for trial in sheet["trials"] for name in trial["files"]]
    assert sorted(files) == sorted(path.name for path in (tmp_path / "sheet/audio").iterdir())
    assert set(files) == set(key["files"])
    for trial in sheet["trials"]:
        origins = [key["files"][name] for name in trial["files"]]
        assert {origin["report"] for origin in origins} == set(map(str, reports))
        assert trial["seconds"] == 1.5
        for name, origin in zip(trial["files"], origins, strict=True):
            assert [origin["corpus"], origin["split"], origin["song"]] == trial["song"]
            content = json.loads((reports[0].parent / origin["report"] / "scores.json").read_text())
            [song] = [s for s in content["corpora"][0]["per_song"] if s["song"] == origin["song"]]
            source = reports[0].parent / origin["report"] / song["media"]["model"]
            assert (tmp_path / "sheet/audio" / name).read_bytes() == source.read_bytes()


def test_nothing_in_the_folder_names_a_model(reports, tmp_path):
    write_listening_sheet(reports, tmp_path / "sheet")
    for path in (tmp_path / "sheet").rglob("*"):
        for word in ("unmistakable", "first", "second", "model"):
            assert word not in path.name
        if path.is_file():
            content = path.read_bytes()
            assert b"unmistakable" not in content
            assert str(reports[0]).encode() not in content
    # Neither does the order of the two files: either report comes first now and then.
    folder = tmp_path / "many"
    folder.mkdir()
    names = [f"song {k}" for k in range(16)]
    pair = [report(folder / name, name, names, seconds=0.1) for name in ("one", "two")]
    sheet = sheet_of(write_listening_sheet(pair, folder / "sheet"))
    key = json.loads(key_path(folder / "sheet").read_text())["files"]
    firsts = {key[trial["files"][0]]["report"] for trial in sheet["trials"]}
    assert len(firsts) == 2


def test_excerpts_come_from_the_middle_of_both(reports, tmp_path):
    page = write_listening_sheet(reports, tmp_path / "sheet", excerpt_seconds=0.5, max_songs=2)
    sheet = sheet_of(page)
    assert [trial["seconds"] for trial in sheet["trials"]] == [0.5, 0.5]
    long = [report(tmp_path / name, name, ["a"], seconds=5.0) for name in ("c", "d")]
    sheet = sheet_of(
        write_listening_sheet(long, tmp_path / "long", excerpt_seconds=2.5, match_loudness=False)
    )
    # Of 5 s, 2.5 s from second 1 on: (5 - 2.5) / 2, rounded down.
    [trial] = sheet["trials"]
    for name in trial["files"]:
        audio, _ = soundfile.read(tmp_path / "long/audio" / name)
        expected = tone(220, 5.0)[16_000 : 16_000 + 40_000]
        np.testing.assert_allclose(audio, expected, atol=2 / 32768)


def test_excerpts_of_versions_of_different_lengths_start_together(tmp_path):
    """The middle 4 s begin at 2 s of 8 s, and at 1.95 s of 7.9 s, which is rounded to 1 s."""
    rising = np.linspace(-0.5, 0.5, 8 * 16_000)
    pair = [
        with_audio(tmp_path / "long", "long", rising),
        with_audio(tmp_path / "short", "short", rising[:126_400]),
    ]
    write_listening_sheet(pair, tmp_path / "sheet", excerpt_seconds=4, match_loudness=False)
    found = clips(tmp_path / "sheet")
    for model in ("long", "short"):
        np.testing.assert_allclose(found[model][0], rising[16_000:80_000], atol=2 / 32768)


def with_audio(folder, model, audio):
    """A report of one song, whose audio is given, float [samples] at 16 kHz."""
    report(folder, model, ["a"])
    soundfile.write(folder / "media/0/a/model.flac", audio, 16_000, subtype="PCM_24")
    return folder


def sine(amplitude, seconds=3.0):
    return amplitude * np.sin(2 * np.pi * 997 * np.arange(round(seconds * 16_000)) / 16_000)


def clips(folder):
    """Audio of a sheet with one trial by model, and the gains in its key."""
    files = json.loads(key_path(folder).read_text())["files"]
    return {
        origin["model"]: (soundfile.read(folder / "audio" / name)[0], origin["gain_db"])
        for name, origin in files.items()
    }


def test_both_clips_are_equally_loud(tmp_path):
    """A full-scale sine at 997 Hz has -3.01 LUFS by ITU-R BS.1770."""
    pair = [
        with_audio(tmp_path / "quiet", "quiet", sine(0.02)),
        with_audio(tmp_path / "loud", "loud", sine(0.8)),
    ]
    write_listening_sheet(pair, tmp_path / "sheet")
    expected = 10 ** ((-23 + 3.01) / 20)
    found = clips(tmp_path / "sheet")
    for model, amplitude in (("quiet", 0.02), ("loud", 0.8)):
        audio, gain_db = found[model]
        # Within 0.1 dB, the tolerance of the standard, and exactly the same for both.
        assert 20 * np.log10(np.abs(audio).max() / expected) == pytest.approx(0, abs=0.1)
        assert gain_db == pytest.approx(20 * np.log10(expected / amplitude), abs=0.1)
    np.testing.assert_allclose(found["quiet"][0], found["loud"][0], atol=2 / 32768)
    write_listening_sheet(pair, tmp_path / "as they are", match_loudness=False)
    for model, amplitude in (("quiet", 0.02), ("loud", 0.8)):
        audio, gain_db = clips(tmp_path / "as they are")[model]
        assert (np.abs(audio).max(), gain_db) == (pytest.approx(amplitude, rel=1e-3), 0)


def test_peaks_are_not_clipped_but_both_are_quieter(tmp_path):
    spiky = sine(0.001)
    spiky[8_000] = 0.5
    pair = [
        with_audio(tmp_path / "spiky", "spiky", spiky),
        with_audio(tmp_path / "even", "even", sine(0.8)),
    ]
    write_listening_sheet(pair, tmp_path / "sheet")
    found = clips(tmp_path / "sheet")
    # The spike reaches -1 dBFS; nothing but the gain has changed.
    audio, gain_db = found["spiky"]
    assert np.abs(audio).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    np.testing.assert_allclose(audio, spiky * 10 ** (gain_db / 20), atol=2 / 32768)
    # The other clip comes down with it, far below -23 LUFS.
    quieter = 20 * np.log10(np.abs(found["even"][0]).max() / 10 ** ((-23 + 3.01) / 20))
    assert quieter < -10


def test_silence_stays_silent(tmp_path):
    pair = [
        with_audio(tmp_path / "silent", "silent", np.zeros(48_000)),
        with_audio(tmp_path / "loud", "loud", sine(0.8)),
    ]
    write_listening_sheet(pair, tmp_path / "sheet")
    found = clips(tmp_path / "sheet")
    assert found["silent"][1] == 0
    assert not found["silent"][0].any()
    assert np.abs(found["loud"][0]).max() == pytest.approx(0.1, abs=0.002)


def test_every_two_of_three_reports_are_compared(reports, tmp_path):
    third = report(tmp_path / "third", "three", ["a", "b"])
    sheet = sheet_of(write_listening_sheet([*reports, third], tmp_path / "sheet"))
    key = json.loads(key_path(tmp_path / "sheet").read_text())["files"]
    pairs = sorted(
        (trial["song"][2], *sorted(key[name]["report"].split("/")[-1] for name in trial["files"]))
        for trial in sheet["trials"]
        if trial["song"][2] in ("a", "b")
    )
    assert pairs == [
        ("a", "first", "second"),
        ("a", "first", "third"),
        ("a", "second", "third"),
        ("b", "second", "third"),
    ]


def test_what_cannot_be_compared_is_said(reports, tmp_path):
    out = tmp_path / "sheet"
    with pytest.raises(ConfigError, match="reports: expected two or more to compare, got 1"):
        write_listening_sheet(reports[:1], out)
    with pytest.raises(ConfigError, match=r"expected different folders, got .*first twice"):
        write_listening_sheet([reports[0], reports[0] / "../first"], out)
    with pytest.raises(ConfigError, match="excerpt_seconds: expected a number > 0, got 0"):
        write_listening_sheet(reports, out, excerpt_seconds=0)
    other = report(tmp_path / "other", "x", ["a"], corpus="own/songs:validation")
    with pytest.raises(ReportError, match=r"other: expected songs that .*first has as well, got"):
        write_listening_sheet([reports[0], other], out)
    with pytest.raises(ReportError, match="row 'medium', got rows: encoded, model, raw"):
        write_listening_sheet(reports, out, row="medium")
    with pytest.raises(ReportError, match=r"nowhere/scores\.json: expected .* no such file"):
        write_listening_sheet([reports[0], tmp_path / "nowhere"], out)
    broken = report(tmp_path / "broken", "x", ["a"])
    (broken / "media/0/a/model.flac").write_bytes(b"fLaC")
    with pytest.raises(AudioError, match=r"0/a/model\.flac: expected a readable audio file"):
        write_listening_sheet([reports[0], broken], out)
    (broken / "media/0/a/model.flac").unlink()
    with pytest.raises(AudioError, match=r"0/a/model\.flac: expected audio .* no such file"):
        write_listening_sheet([reports[0], broken], out)
    assert not out.exists()
    assert not key_path(out).exists()
    out.mkdir()
    (out / "mine.txt").touch()
    with pytest.raises(OutputError, match="a new or empty folder"):
        write_listening_sheet(reports, out)


def answers(path, sheet, lines):
    """Writes a file as the page exports it; `lines` are listener, left, right, answer."""
    head = "sheet,listener,place,corpus,split,song,left,right,answer,strength"
    rows = [f'"{sheet}","{who}","1","c","s","x","{a}","{b}","{y}",""' for who, a, b, y in lines]
    path.write_text("\r\n".join([head, *rows]) + "\r\n")
    return path


def test_tally_undoes_the_sides(reports, tmp_path, capsys):
    sheet = sheet_of(write_listening_sheet(reports, tmp_path / "sheet"))
    key = key_path(tmp_path / "sheet")
    files = json.loads(key.read_text())["files"]
    one, two = str(reports[0]), str(reports[1])

    def line(who, trial, answer, swap=False):
        """Answer "one", "two" or "same", given with sides in either order."""
        names = sorted(sheet["trials"][trial]["files"], key=lambda name: files[name]["report"])
        left, right = reversed(names) if swap else names
        sides = {files[left]["report"]: "left", files[right]["report"]: "right"}
        return who, left, right, {"one": sides[one], "two": sides[two], "same": "same"}[answer]

    ada = [line("ada", k, "one", swap=k % 2 == 0) for k in range(5)]
    bob = [line("bob", 0, "two"), line("bob", 1, "same", swap=True), line("bob", 2, "one")]
    again = [line("bob", 0, "one", swap=True)]
    paths = [
        answers(tmp_path / f"{k}.csv", sheet["id"], lines) for k, lines in enumerate([ada, bob])
    ]
    [result] = tally(key, paths)
    assert (result.first, result.second) == (one, two)
    assert (result.first_better, result.same, result.second_better) == (6, 1, 1)
    # Ada prefers the first in all answers, Bob in as many as the second: (1 + 0) / 2. With any
    # signs the sum is as far from zero.
    assert (result.listeners, result.preference, result.p_value) == (2, 0.5, 1.0)
    assert (result.low, result.high) == (0.0, 1.0)
    # Whoever exports twice counts once, as the later file says.
    [result] = tally(key, [*paths, answers(tmp_path / "2.csv", sheet["id"], again)])
    assert (result.first_better, result.same, result.second_better) == (7, 1, 0)
    assert result.preference == pytest.approx((1 + 2 / 3) / 2)
    main(["tally", str(key), *map(str, paths)])
    text = capsys.readouterr().out
    assert f"{one}: 6   no difference: 1   {two}: 1\n2 listeners" in text
    assert "+0.50 [+0.00, +1.00]; p = 1 (sign-flip test over listeners)" in text
    # One listener alone: the sign test of her five answers, 2 / 2^5.
    [result] = tally(key, paths[:1])
    assert (result.listeners, result.low, result.high) == (1, None, None)
    assert result.p_value == pytest.approx(0.0625)
    main(["tally", str(key), str(paths[0])])
    text = capsys.readouterr().out
    assert "one listener, who prefers the first by +1.00; p = 0.0625 (sign test" in text


def test_listeners_are_what_is_tested(reports, tmp_path):
    """Many answers of few listeners are no more than few listeners."""
    sheet = sheet_of(write_listening_sheet(reports, tmp_path / "sheet"))
    key = key_path(tmp_path / "sheet")
    files = json.loads(key.read_text())["files"]
    lines = []
    # Each of four listeners gives five answers; the numbers of those for the first report.
    wins = {"ada": 5, "bob": 4, "cleo": 3, "dan": 5}
    for who, won in wins.items():
        for number, trial in enumerate(sheet["trials"]):
            left, right = trial["files"]
            first_is_left = files[left]["report"] == str(reports[0])
            lines.append((who, left, right, "left" if first_is_left == (number < won) else "right"))
    [result] = tally(key, [answers(tmp_path / "all.csv", sheet["id"], lines)])
    assert (result.first_better, result.second_better, result.listeners) == (17, 3, 4)
    means = np.array([1.0, 0.6, 0.2, 1.0])
    assert result.preference == pytest.approx(means.mean())
    found = scipy.stats.permutation_test(
        (means, np.zeros(4)),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        permutation_type="samples",
        vectorized=True,
    )
    # All four lean one way: 2 of 16 patterns. The sign test of all answers would say 0.0026.
    assert result.p_value == pytest.approx(found.pvalue) == pytest.approx(0.125)
    assert 0.2 <= result.low < result.preference < result.high <= 1.0


def test_answers_to_something_else_are_refused(reports, tmp_path):
    sheet = sheet_of(write_listening_sheet(reports, tmp_path / "sheet"))
    key = key_path(tmp_path / "sheet")
    left, right = sheet["trials"][0]["files"]
    path = tmp_path / "a.csv"
    for name, line, message in (
        ("other", ("ada", left, right, "left"), "line 2: expected answers to the sheet"),
        (sheet["id"], ("ada", "x.flac", right, "left"), "audio of the sheet on the left"),
        (sheet["id"], ("ada", left, right, "maybe"), "the answer left, right or same, got 'maybe'"),
    ):
        with pytest.raises(ReportError, match=message):
            tally(key, [answers(path, name, [line])])
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ReportError, match=r"a\.csv: line 2: expected a column 'sheet', got none"):
        tally(key, [path])
    with pytest.raises(ReportError, match=r"a\.csv: expected the key of a listening sheet"):
        tally(path, [path])
    with pytest.raises(ReportError, match="no such file"):
        tally(key, [tmp_path / "missing.csv"])
    for text in ("", "sheet,listener,song,left,right,answer\n"):
        (tmp_path / "none.csv").write_text(text)
        with pytest.raises(ReportError, match="expected answers to a listening sheet, got none"):
            tally(key, [tmp_path / "none.csv"])


def test_commands(reports, tmp_path, capsys):
    main(["report", str(reports[0])])
    assert len(list((reports[0] / "pictures").iterdir())) == 9
    capsys.readouterr()
    main(["report", str(reports[0]), "--songs", "1"])
    assert len(list((reports[0] / "pictures").iterdir())) == 3
    assert capsys.readouterr().out.strip() == str(reports[0] / "index.html")
    assert len(parse(reports[0] / "index.html").all("article")) == 1
    sheet = tmp_path / "sheet"
    main(["listen", *map(str, reports), "--out", str(sheet), "--title", "Flutes", "--songs", "3"])
    assert capsys.readouterr().out.strip() == f"{sheet}/index.html  (key: {sheet}-key.json)"
    assert parse(sheet / "index.html").all("h1")[0].text == "Flutes"
    assert len(sheet_of(sheet / "index.html")["trials"]) == 3


def test_a_sheet_without_its_key_is_not_left(reports, tmp_path):
    key_path(tmp_path / "sheet").mkdir()
    with pytest.raises(OutputError, match=r"sheet-key\.json"):
        write_listening_sheet(reports, tmp_path / "sheet")
    assert not (tmp_path / "sheet").exists()
