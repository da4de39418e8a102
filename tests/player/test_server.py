"""The server of the page, asked as the page asks it."""

import http.client
import io
import itertools
import json

import numpy as np
import pytest
import soundfile

import spectrodiff as sd
from spectrodiff.music.midi.writer import write_midi
from tests.support.midi import midi_bytes, off, on
from tests.support.notation import note_rows, note_table
from tests.support.patience import PATIENCE_SECONDS
from tests.support.played import Server

SONG = note_table(
    [
        (0.0, 1.0, 60, 90, 0, False),
        (0.5, 5.0, 67, 80, 56, False),
        (1.0, 1.5, 36, 100, 0, True),
        (6.0, 7.0, 62, 90, 0, False),
    ],
    total_seconds=7.0,
)


@pytest.fixture(scope="module")
def midi(tmp_path_factory):
    path = tmp_path_factory.mktemp("song") / "song.mid"
    write_midi(SONG, path)
    return path


@pytest.fixture(scope="module")
def server(midi):
    server = Server(str(midi), "--model", "untrained", "--max_minutes", "30")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def song(server):
    return server.get(f"/api/songs/{server.get('/api/setup')['song']}")


def long_song():
    """The bytes of a MIDI file of 25 minutes."""
    return midi_bytes([on(0, 60), off(1500 * 1000, 60)])


def joined(parts):
    return np.concatenate([part.audio for part in parts])


def test_setup(server):
    setup = server.get("/api/setup")
    assert setup["sample_rate"] == 16_000
    assert setup["max_minutes"] == 30
    assert {"name": "greensleeves", "title": "Greensleeves"} in setup["examples"]
    (model,) = setup["models"]
    assert model["name"] == "untrained"
    assert model["notice"] == "This model is untrained: it renders noise."
    assert len(model["programs"]) == 128
    assert model["programs"][73] == {"program": 73, "name": "flute"}


def test_the_page_loads_nothing_from_elsewhere(server):
    status, response, body = server.ask("GET", "/")
    assert status == 200
    assert b"<html" in body.lower() or b"<!doctype html" in body.lower()
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    for path in ("/static/main.js", "/api/setup", "/static/no_such_file.js"):
        assert server.ask("GET", path)[1].headers["Content-Security-Policy"] == policy


def test_rows_of_a_song(song):
    assert song["title"] == "song.mid"
    assert song["seconds"] == 7.0
    rows = [(row["program"], row["drums"], row["name"], row["notes"]) for row in song["rows"]]
    assert rows == [
        (0, False, "piano", 2),
        (56, False, "trumpet", 1),
        (None, True, "drums", 1),
    ]
    assert song["notes"]["row"] == [0, 1, 2, 0]
    assert song["notes"]["pitch"] == [60, 67, 36, 62]
    assert song["notes"]["onset"] == [0.0, 0.5, 1.0, 6.0]


def test_a_take_is_the_rendered_song(server, song, midi):
    take = server.post("/api/takes", {"song": song["id"], "settings": {"seed": 3, "steps": 2}})
    parts = list(server.take_parts(take))
    whole = sd.load("untrained").render(midi, seed=3, steps=2)
    wanted = np.clip(np.rint(whole.audio * 32768), -32768, 32767)
    assert np.abs(joined(parts) - wanted).max() <= 1
    log_mel = np.concatenate([part.spectrogram for part in parts])
    low = np.log(1e-5)
    np.testing.assert_allclose(low + log_mel / 255 * (4 - low), whole.log_mel, atol=0.04)
    headers = [part.header for part in parts]
    assert [header["segment"] for header in headers] == list(range(take["segments"]))
    assert [header["last"] for header in headers] == [False] * (len(parts) - 1) + [True]
    firsts = [0, *itertools.accumulate(header["samples"] for header in headers)]
    assert [header["first_sample"] for header in headers] == firsts[:-1]
    firsts = [0, *itertools.accumulate(header["frames"] for header in headers)]
    assert [header["first_frame"] for header in headers] == firsts[:-1]


def test_steering(server, song):
    settings = {"seed": 0, "steps": 1}
    take = server.post("/api/takes", {"song": song["id"], "settings": settings})
    stale = server.take_parts(take)
    first = next(stale)
    rest = list(server.take_parts(take, 1))
    steering = {"tempo": 2.0, "transpose": 1, "muted": [1], "programs": {"0": 73}}
    body = {"segment": 1, "settings": settings, "steering": steering}
    steered = server.post(f"/api/takes/{take['id']}/steer", body)
    assert steered["revision"] == 1
    assert steered["kept_samples"] == len(first.audio)
    assert steered["kept_frames"] == len(first.spectrogram)
    assert [row["sounds"] for row in steered["rows"]] == [73, None, None]
    segment = steered["segment_seconds"]
    # What is after the first segment of the score passes in half the time.
    assert steered["seconds"] == pytest.approx(segment + (7.0 - segment) / 2, abs=1e-4)
    notes = steered["notes"]
    assert notes["onset"][3] == pytest.approx(segment + (6.0 - segment) / 2, abs=1e-4)
    # The trumpet began before the rows were muted.
    assert notes["sounding"] == [1, 1, 1, 1]
    assert notes["pitch"] == [60, 67, 36, 63]
    other = list(server.take_parts(steered, 1))
    assert len(first.audio) + len(joined(other)) == round(steered["seconds"] * 16_000)
    # Parts begin with the frames that the inverter has held back.
    assert not np.array_equal(other[0].audio[-1000:], rest[0].audio[-1000:])
    # The stream of the first revision ends, with no parts of the second.
    assert list(server.take_parts(take, 1)) == []
    stale.close()


def test_tabs_take_turns(server, song):
    takes = [server.post("/api/takes", {"song": song["id"], "settings": {"steps": steps}})
             for steps in (1, 3)]  # fmt: skip
    streams = [server.take_parts(take) for take in takes]
    pairs = list(zip(*streams, strict=True))
    assert len(pairs) == takes[0]["segments"]
    assert not np.array_equal(pairs[0][0].audio, pairs[0][1].audio)


def test_downloads(server, song):
    settings = {"seed": 1, "steps": 1}
    take = server.post("/api/takes", {"song": song["id"], "settings": settings})
    for file, name in (("audio.wav", "song.wav"), ("audio.flac", "song.flac")):
        status, response, body = server.ask("GET", f"/api/takes/{take['id']}/{file}")
        assert status == 200
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        audio, rate = soundfile.read(io.BytesIO(body), dtype="int16")
        assert rate == 16_000
        np.testing.assert_array_equal(audio, joined(server.take_parts(take)))
    _, _, body = server.ask("GET", f"/api/takes/{take['id']}/notes.mid")
    assert sorted(note_rows(sd.read_midi(body))) == sorted(note_rows(SONG))


def test_a_download_keeps_nobody_waiting(server, song):
    """Rendered for a file, segment by segment, other takes come in between."""
    long = server.post("/api/songs?name=long.mid", long_song())
    settings = {"steps": 3}
    take = server.post("/api/takes", {"song": long["id"], "settings": settings})
    parts = server.take_parts(take)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_SECONDS)
    connection.request("GET", f"/api/takes/{take['id']}/audio.wav")
    next(parts)
    other = server.post("/api/takes", {"song": song["id"], "settings": settings})
    assert next(server.take_parts(other)).header["segment"] == 0
    steered = server.post(f"/api/takes/{take['id']}/steer", {"segment": 0, "settings": settings})
    assert steered["revision"] == 1
    response = connection.getresponse()
    assert response.status == 422
    assert b"settings that stay while it is rendered" in response.read()
    connection.close()
    server.ask("DELETE", f"/api/takes/{take['id']}")
    assert len(list(parts)) < take["segments"] / 2


def test_a_take_that_is_forgotten_ends_its_streams(server):
    long = server.post("/api/songs?name=long.mid", long_song())
    take = server.post("/api/takes", {"song": long["id"], "settings": {"steps": 3}})
    parts = server.take_parts(take)
    next(parts)
    server.ask("DELETE", f"/api/takes/{take['id']}")
    assert len(list(parts)) < take["segments"] / 2


def test_songs_that_are_sent(server, midi):
    sent = server.post("/api/songs?name=..%2F..%2Fetc%2F%3Cb%3Ex.mid", midi.read_bytes())
    assert sent["title"] == "<b>x.mid"  # text, which the page never reads as HTML
    take = server.post("/api/takes", {"song": sent["id"], "settings": {"steps": 1}})
    _, response, _ = server.ask("GET", f"/api/takes/{take['id']}/notes.mid")
    assert response.headers["Content-Disposition"] == 'attachment; filename="b_x.mid"'
    hidden = server.post("/api/songs?name=a%0D%0Aset-cookie", midi.read_bytes())
    assert hidden["title"] == "aset-cookie"
    long = server.post(f"/api/songs?name={'x' * 5000}", midi.read_bytes())
    assert len(long["title"]) == 120


def test_phrases(server):
    phrase = server.post("/api/phrases", {"notes": [[0.1, 0.4, 60, 90], [0.3, 0.9, 64, 70]]})
    assert phrase["title"] == "Your phrase"
    assert phrase["seconds"] == pytest.approx(1.9)  # a second more, in which it rings
    assert server.refusal("POST", "/api/phrases", {"notes": []})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": [[0, 1, 60]]})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": [[1, 0, 60, 90]]})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": [[0, 1e300, 60, 90]]})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": [[0, 10**400, 60, 90]]})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": [[0, 1, 60.5, 90]]})[0] == 422
    assert server.refusal("POST", "/api/phrases", {"notes": None})[0] == 422
    status, said = server.refusal("POST", "/api/phrases", {"notes": [[0, 1801, 60, 90]]})
    assert status == 422
    assert "at most 30 minutes" in said


def test_examples(server):
    assert server.post("/api/examples/greensleeves")["title"] == "Greensleeves"
    for name in ("nothing", "..%2Fgreensleeves", "%2Fetc%2Fpasswd"):
        assert server.ask("POST", f"/api/examples/{name}")[0] == 404


@pytest.mark.parametrize(
    ("data", "status", "message"),
    [
        (b"hello", 422, "x.mid: expected a MIDI file, got only 5 bytes"),
        (b"", 422, "x.mid: expected a MIDI file"),
        (bytes(50 << 20), 413, "expected a MIDI file of at most 4 MiB, got a larger one"),
    ],
)
def test_files_that_are_refused(server, data, status, message):
    got, said = server.refusal("POST", "/api/songs?name=x.mid", data)
    assert got == status
    assert message in said


def test_songs_that_are_too_long(server, tmp_path):
    write_midi(note_table([(1860.0, 1861.0, 60, 90, 0, False)]), tmp_path / "long.mid")
    data = (tmp_path / "long.mid").read_bytes()
    status, said = server.refusal("POST", "/api/songs?name=long.mid", data)
    assert status == 422
    assert said.startswith("long.mid: expected a song of at most 30 minutes (longer ones with")


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"steps": 0}},
        {"settings": {"steps": 100_000}},
        {"settings": {"steps": "many"}},
        {"settings": {"guidance": [1]}},
        {"settings": {"seed": -1}},
        {"settings": {"seed": 1.5}},
        {"settings": "fast"},
        {"settings": [1]},
        {"settings": {"guidance": 10**400}},
        {"settings": {"guidance": -5}},
        {"model": []},
        {"steering": {"muted": ["x" * 1_000_000]}},
        {"steering": {"muted": [" 0_0 "]}},
        {"steering": {"tempo": 0.25}},
        {"steering": {"tempo": 0}},
        {"steering": {"transpose": "up"}},
        {"steering": {"muted": [3]}},
        {"steering": {"muted": 1}},
        {"steering": {"programs": {"0": 200}}},
        {"steering": {"programs": {"2": 0}}},  # the drums
        {"steering": {"programs": {"x": 0}}},
        {"song": 5},
    ],
)
def test_settings_that_are_refused(server, song, changes):
    status, said = server.refusal("POST", "/api/takes", {"song": song["id"], **changes})
    assert status == 422, said
    assert len(said) < 300


def test_requests_that_make_no_sense(server, song):
    assert server.refusal("POST", "/api/takes", {"song": "nothing"})[0] == 404
    status, said = server.refusal("POST", "/api/takes", {"song": song["id"], "model": "big"})
    assert (status, said) == (422, "model: expected one of untrained, got 'big'")
    assert server.refusal("POST", "/api/takes", b"{")[0] == 422
    assert server.refusal("POST", "/api/takes", b"[" * 100_000)[0] == 422
    assert server.refusal("POST", "/api/takes", b"[]")[0] == 422
    status, said = server.refusal("POST", "/api/takes", b" " * (3 << 20))
    assert (status, said) == (413, "expected JSON of at most 2 MiB, got a larger one")
    for number in (b"NaN", b"-Infinity", b"1" + b"0" * 5000):
        body = b'{"song": "x", "settings": {"guidance": ' + number + b"}}"
        assert server.ask("POST", "/api/takes", body)[0] in (404, 422)
    assert server.refusal("GET", f"/api/takes/x/parts?segment={'9' * 5000}")[0] == 404
    assert server.refusal("GET", "/api/nothing") == (404, "Not Found")
    assert server.refusal("PUT", "/api/setup")[0] == 405
    take = server.post("/api/takes", {"song": song["id"]})
    path = f"/api/takes/{take['id']}"
    assert server.refusal("POST", f"{path}/steer", {"segment": 1})[0] == 422  # not rendered
    assert server.refusal("POST", f"{path}/steer", {"segment": "0"})[0] == 422
    assert server.refusal("GET", f"{path}/parts?segment=-1")[0] == 422
    assert server.refusal("GET", f"{path}/secrets.txt")[0] == 404
    assert list(server.parts(f"{path}/parts?revision=0&segment=1000")) == []
    assert server.ask("DELETE", path)[0] == 200
    assert server.refusal("GET", f"{path}/parts")[0] == 404
    for address in ("../app.py", "%2e%2e/app.py", "..%2fapp.py", "..%5capp.py", "/etc/passwd"):
        assert server.ask("GET", f"/static/{address}")[0] == 404
    assert server.refusal("POST", "/api/examples/..%2f..%2fREADME")[0] == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.com"},  # a name that leads here
        {"Origin": "http://example.com"},  # a page from elsewhere
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Host": "[::1"},
        {"Host": "evil@localhost"},
        {"Host": "localhost#example.com"},
        {"Host": "localhost:abc"},
    ],
)
def test_other_pages_may_not_ask(server, headers):
    for method, path in (("GET", "/api/setup"), ("POST", "/api/examples/greensleeves")):
        status, response, body = server.ask(method, path, headers=headers)
        assert status == 403
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "on this machine" in json.loads(body)["error"]
    own = {"Origin": server.address.rstrip("/")}
    assert server.ask("GET", "/api/setup", headers=own)[0] == 200


def test_live(server):
    live = server.post("/api/live", {"program": 5, "settings": {"steps": 1}})
    assert live["latency_seconds"] > live["segment_seconds"]
    path = f"/api/live/{live['id']}"
    server.post(f"{path}/events", {"events": [[0.0, 60, 90]]})
    parts = server.parts(f"{path}/parts")
    pressed = next(parts)
    server.post(f"{path}/steer", {"program": 7, "transpose": 2, "settings": {"seed": 4}})
    server.post(f"{path}/events", {"events": [[0.1, 60, 0]]})
    second = next(parts)
    assert second.header["first_sample"] == len(pressed.audio)
    assert second.header["segment"] == 1
    for settings in ({"steps": 1_000_000}, {"seed": "x"}, [1]):
        assert server.refusal("POST", f"{path}/steer", {"settings": settings})[0] == 422
    second_stream = server.parts(f"{path}/parts")
    with pytest.raises(AssertionError, match="expected one stream of its parts"):
        next(second_stream)
    for events in ([[0.1, 60]], [["x", 1, 2]], [[0.1, 400, 90]], "none", [[0, 60, 90]] * 1001):
        assert server.refusal("POST", f"{path}/events", {"events": events})[0] == 422
    assert server.ask("DELETE", path)[0] == 200
    assert list(parts) == []
    assert server.refusal("POST", f"{path}/events", {"events": []})[0] == 404


def test_memory_is_bounded_by_forgetting_what_was_used_longest_ago(server, song):
    first = server.post("/api/takes", {"song": song["id"], "settings": {"steps": 1}})
    for _ in range(16):
        server.post("/api/takes", {"song": song["id"], "settings": {"steps": 1}})
    assert server.refusal("GET", f"/api/takes/{first['id']}/parts")[0] == 404
    for _ in range(32):
        server.post("/api/examples/greensleeves")
    server.get(f"/api/songs/{song['id']}")  # the song of the command line stays
