"""Files in other files, wrong lengths and counts, damage."""

import struct

import pytest

from spectrodiff.core.errors import MidiError
from spectrodiff.music.midi.container import MAX_FILE_BYTES
from spectrodiff.music.midi.reader import read_midi, read_midi_song
from tests.support.midi import END, chunk, header, midi_bytes, off, on
from tests.support.notation import note_rows

# Tracks of one note each, and of none: key 60 from 0.1 to 0.3 s, key 62 from 0.2 to 0.4 s.
FIRST = bytes([100, 0x90, 60, 80, 0x81, 0x48, 0x80, 60, 0])
SECOND = bytes([0x81, 0x48, 0x91, 62, 90, 0x81, 0x48, 0x81, 62, 0])
SILENT = bytes([0, 0xFF, 0x01, 2, 0xE9, 0xF0])  # a text that is not UTF-8
FIRST_ROW, SECOND_ROW = (0.1, 0.3, 60, 80, 0, False), (0.2, 0.4, 62, 90, 0, False)

GOOD = header() + chunk(b"MTrk", FIRST + END)


def two(first: bytes, second: bytes = chunk(b"MTrk", SECOND + END), count: int = 2) -> bytes:
    return header(1, count) + first + second


def rows(data: bytes) -> list:
    return note_rows(read_midi(data))


def test_plain_file():
    notes = read_midi(GOOD)
    assert note_rows(notes) == [FIRST_ROW]
    assert (notes.remarks, notes.damage, notes.total_seconds) == ((), "", 0.3)


class TestWrappings:
    @pytest.mark.parametrize("before", [b"", chunk(b"LIST", b"")])
    @pytest.mark.parametrize("declared", [len(GOOD), 0, 0xFFFFFFFF])
    def test_riff(self, before, declared):
        contents = b"RMID" + before + b"data" + struct.pack("<I", declared) + GOOD
        assert rows(b"RIFF" + struct.pack("<I", len(contents)) + contents) == [FIRST_ROW]

    def test_riff_with_a_chunk_of_odd_length_before(self):
        contents = b"RMID" + b"DISP" + struct.pack("<I", 3) + b"abc\0" + b"data"
        contents += struct.pack("<I", len(GOOD)) + GOOD
        assert rows(b"RIFF" + struct.pack("<I", len(contents)) + contents) == [FIRST_ROW]

    def test_mac_binary(self):
        name = b"song.mid"
        wrapped = bytes([0, len(name)]) + name.ljust(63, b"\0") + b"Midi????"
        assert rows(wrapped.ljust(128, b"\0") + GOOD + bytes(-len(GOOD) % 128)) == [FIRST_ROW]
        # With the length of the data, and an icon behind them.
        wrapped = wrapped.ljust(83, b"\0") + len(GOOD).to_bytes(4, "big")
        notes = read_midi(wrapped.ljust(128, b"\0") + GOOD + b"ICN#" * 50)
        assert (note_rows(notes), notes.remarks) == ([FIRST_ROW], ())

    def test_sound_in_riff_is_refused(self):
        with pytest.raises(MidiError, match="starts with b'RIFF'"):
            read_midi(b"RIFF\x24\0\0\0WAVEfmt " + GOOD)


class TestHarmlessOddities:
    """Nothing is lost, so nothing is damaged."""

    @pytest.mark.parametrize(
        "data",
        [
            two(chunk(b"MTrk", FIRST + END)),
            two(chunk(b"MTrk", FIRST)),  # no end of track
            two(chunk(b"MTrk", FIRST + END), chunk(b"MTrk", SECOND)),
            two(chunk(b"MTrk", FIRST + END, length=3)),
            two(chunk(b"MTrk", FIRST + END, length=0)),
            two(chunk(b"MTrk", FIRST + END, length=1000)),
            two(chunk(b"MTrk", FIRST + END, length=0xFFFFFFFF)),
            two(chunk(b"MTrk", FIRST, length=1000)),
            two(chunk(b"MTrk", FIRST + END), chunk(b"MTrk", SECOND + END, length=4)),
            two(chunk(b"MTrk", FIRST + END), chunk(b"MTrk", SECOND + END, length=999)),
            two(chunk(b"MTrk", FIRST + END) + chunk(b"XFIH", b"anything")),
            two(chunk(b"junk", b"") + chunk(b"MTrk", FIRST + END)),
            two(chunk(b"MTrk", FIRST + END)) + b"\r\n\x1a",
            two(chunk(b"MTrk", FIRST + END)) + bytes(100),
            two(chunk(b"MTrk", SILENT + FIRST + END)),
            two(chunk(b"MTrk", FIRST + END))[:-1],  # without the length of the last end of track
        ],
    )
    def test_without_a_remark(self, data):
        notes = read_midi(data)
        assert note_rows(notes) == [FIRST_ROW, SECOND_ROW]
        assert (notes.remarks, notes.damage) == ((), "")

    @pytest.mark.parametrize(
        ("data", "remark"),
        [
            (two(chunk(b"MTrk", FIRST + END), count=1), "2 tracks, although the header says 1"),
            (two(chunk(b"MTrk", FIRST + END), count=0), "2 tracks, although the header says 0"),
            (two(chunk(b"MTrk", FIRST + END), count=9), "2 tracks, although the header says 9"),
            (two(chunk(b"MTrk", FIRST + END) + b"\1\2\3"), "3 bytes between chunks ignored"),
            (two(chunk(b"MTrk", FIRST + END)) + b"\1\2\3", "3 bytes after the last chunk ignored"),
            (two(chunk(b"MTrk", FIRST + END)) + GOOD, "35 bytes after the last chunk ignored"),
            (
                # The rest of another file, as old disks have it.
                two(chunk(b"MTrk", FIRST + END)) + b"\1\2" + chunk(b"MTrk", FIRST + END),
                "23 bytes after the last chunk ignored",
            ),
            (
                two(chunk(b"MTrk", FIRST + END + b"\1\2\3\4\5")),
                "5 bytes after the end of track 1 ignored",
            ),
            (
                header(1, 2)
                + chunk(b"MTrk", FIRST + END + b"\1\2")
                + b"\3\4\5"
                + chunk(b"MTrk", SECOND + END + b"\6")
                + b"\7",
                "7 bytes in 2 places ignored",
            ),
        ],
    )
    def test_with_a_remark(self, data, remark):
        notes = read_midi(data)
        assert note_rows(notes) == [FIRST_ROW, SECOND_ROW]
        assert (notes.remarks, notes.damage) == ((remark,), "")

    def test_bytes_behind_a_last_track_without_an_end(self):
        notes = read_midi(header() + chunk(b"MTrk", FIRST) + b"\x0a")
        assert (note_rows(notes), notes.remarks) == ([FIRST_ROW], ())
        notes = read_midi(header() + chunk(b"MTrk", FIRST) + b"\0\x90\x40\x20\x80\x80\x80\x80\0")
        assert note_rows(notes) == [FIRST_ROW]
        assert (notes.remarks, notes.damage) == (("9 bytes after the last chunk ignored",), "")

    def test_longer_header(self):
        data = chunk(b"MThd", bytes([0, 0, 0, 1, 1, 0xF4, 9, 9])) + GOOD[14:]
        assert rows(data) == [FIRST_ROW]

    def test_header_of_a_wrong_length(self):
        for length in (0, 5, 7, 0xFFFFFFFF):
            assert rows(GOOD[:4] + length.to_bytes(4, "big") + GOOD[8:]) == [FIRST_ROW]

    def test_a_single_track(self):
        remark = "1 track, although the header says 2"
        assert read_midi(header(1, 2) + chunk(b"MTrk", FIRST + END)).remarks == (remark,)

    def test_unknown_type(self):
        data = header(7, 2) + chunk(b"MTrk", FIRST + END) + chunk(b"MTrk", SECOND + END)
        assert rows(data) == [FIRST_ROW, SECOND_ROW]
        assert read_midi(data).remarks == ("unknown type 7, read as type 1",)

    def test_tracks_of_type_0_sound_together(self):
        data = header(0, 2) + chunk(b"MTrk", FIRST + END) + chunk(b"MTrk", SECOND + END)
        assert rows(data) == [FIRST_ROW, SECOND_ROW]
        assert read_midi(data).remarks == ()


class TestDamage:
    @pytest.mark.parametrize(
        ("data", "kept", "damage"),
        [
            # Cut off in the first note's end, which then lasts to the end of the song.
            (two(chunk(b"MTrk", SECOND + END), chunk(b"MTrk", FIRST + END))[:-6], 2, "is cut off"),
            (two(chunk(b"MTrk", FIRST + END), chunk(b"MTrk", SECOND + END))[:-13], 1, "is cut off"),
            (two(chunk(b"MTrk", FIRST + END), b"MTrk\0\0"), 1, "last track is cut off"),
            (two(chunk(b"MTrk", FIRST + END), b"MT"), 1, "last track is cut off"),
            # Cut off between two events.
            (header() + chunk(b"MTrk", FIRST, length=100), 1, "track 1 is cut off at byte 31"),
            (two(chunk(b"MTrk", bytes([0, 60, 60]) + FIRST + END)), 1, "data without a status"),
            (
                two(chunk(b"MTrk", FIRST + bytes([0x80, 0x80, 0x80, 0x80, 0, 0x90]) + END)),
                2,
                "track 1 breaks off (a number of more than 4 bytes) at byte 31",
            ),
            (
                two(chunk(b"MTrk", FIRST + bytes([0, 0xFF, 1, 100, 65, 66]) + END)),
                2,
                "track 1 breaks off (an event of 100 bytes, where 6 are left) at byte 31",
            ),
            (two(chunk(b"MTrk", FIRST + bytes([0, 0x90, 60]))), 2, "track 1 is cut off at byte 31"),
        ],
    )
    def test_what_is_left_is_kept(self, data, kept, damage):
        notes = read_midi(data)
        assert len(notes) == kept
        assert damage in notes.damage
        assert notes.remarks[0] == notes.damage

    def test_only_the_first_damage_is_told(self):
        broken = chunk(b"MTrk", FIRST + bytes([0, 0xFF, 1, 100]))
        notes = read_midi(two(broken, broken))
        assert notes.damage.startswith("track 1 breaks off")
        assert notes.remarks == (notes.damage,)


# One note that ends after the longest possible delta time: 2**28 - 1 ticks.
BOMB = header(division=480) + chunk(
    b"MTrk", bytes([0, 0x90, 60, 64, 0xFF, 0xFF, 0xFF, 0x7F, 0x90, 60, 0]) + END
)


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "got"),
        [
            (b"", "only 0 bytes"),
            (GOOD[:9], "only 9 bytes"),
            (b"<!DOCTYPE html><html></html>", "starts with b'<!DO'"),
            (bytes(500), r"starts with b'\x00\x00\x00\x00'"),
            (GOOD[:14], "expected a MIDI file with tracks, got none"),
            (GOOD[:14] + bytes(range(200)), "expected a MIDI file with tracks, got none"),
            (GOOD[:14] + b"MTr", "got last track is cut off"),
            (GOOD[:14] + chunk(b"MTrk", bytes(range(40))), "got one whose track 1 breaks off"),
            (GOOD[:12] + b"\0\0" + GOOD[14:], "ticks per beat or per frame, got none"),
            (GOOD[:12] + b"\xe7\0" + GOOD[14:], "ticks per beat or per frame, got none"),
            (BOMB, "expected a song of at most 24 h, got 77.7 h"),
            (
                header(2, 1001) + chunk(b"MTrk", FIRST + END) * 1001,
                "expected at most 1000 patterns, got 1001",
            ),
            (GOOD + bytes(MAX_FILE_BYTES), "expected at most 4 MiB of MIDI, got a longer file"),
        ],
    )
    def test_contents(self, tmp_path, data, got):
        (tmp_path / "song.mid").write_bytes(data)
        with pytest.raises(MidiError) as error:
            read_midi(tmp_path / "song.mid")
        message = str(error.value)
        assert message.startswith(f"{tmp_path}/song.mid: expected ")
        assert got in message
        assert "\n" not in message

    def test_bomb_is_small(self):
        assert len(BOMB) < 60

    def test_places_without_a_file(self, tmp_path):
        with pytest.raises(MidiError, match="null"):
            read_midi("a\0b")
        with pytest.raises(MidiError, match=r"missing\.mid: .*got No such file"):
            read_midi(tmp_path / "missing.mid")
        with pytest.raises(MidiError, match="a folder"):
            read_midi(tmp_path)


class TestTime:
    def test_many_ticks_are_not_long(self):
        # 32767 ticks per beat: 20 minutes at 120 beats per minute are 79 million ticks.
        song = midi_bytes([on(32767 * 2 * 1200, 60), off(32767, 60)], ticks_per_beat=32767)
        assert rows(song) == [(1200.0, 1200.5, 60, 100, 0, False)]

    @pytest.mark.parametrize(
        ("frames", "ticks", "ticks_per_second"),
        [(24, 10, 240), (25, 40, 1000), (29, 100, 100 * 30_000 / 1001), (30, 80, 2400)],
    )
    def test_frames_per_second(self, frames, ticks, ticks_per_second):
        # Tempo means nothing then.
        slow = bytes([0, 0xFF, 0x51, 3, 0x3D, 0x09, 0])
        data = header(division=-frames << 8 | ticks) + chunk(b"MTrk", slow + FIRST + END)
        ((onset, offset, *_),) = rows(data)
        assert onset == pytest.approx(100 / ticks_per_second, rel=1e-12)
        assert offset == pytest.approx(300 / ticks_per_second, rel=1e-12)
        assert read_midi_song(data).tempos == []

    def test_patterns_of_type_2_follow_one_another(self):
        # 500 ticks are half a second, and a second at the tempo of the second pattern, which ends
        # at its end of track.
        slow = bytes([0, 0xFF, 0x51, 3, 0x0F, 0x42, 0x40])
        first = chunk(b"MTrk", FIRST + bytes([0x81, 0x48]) + END[1:])  # ends at 0.5 s
        second = chunk(b"MTrk", slow + SECOND + END)
        song = read_midi_song(header(2, 2) + first + second)
        assert note_rows(song.notes) == [
            FIRST_ROW,
            (pytest.approx(0.9), pytest.approx(1.3), 62, 90, 0, False),
        ]
        assert song.tempos == [(0.0, 120.0), (0.5, 60.0)]
        assert song.notes.remarks == ("type 2: 2 patterns, read one after another",)
