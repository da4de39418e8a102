import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.vocabulary import Event, Vocabulary


@pytest.mark.parametrize(
    ("velocity_bins", "kind", "value", "token"),
    [
        # Three special ids, then 1001 shifts, 128 pitches, V + 1 velocities, one tie, 128 programs
        # and 128 drums.
        (1, "shift", 0, 3),
        (1, "shift", 1000, 1003),
        (1, "pitch", 0, 1004),
        (1, "pitch", 127, 1131),
        (1, "velocity", 0, 1132),
        (1, "velocity", 1, 1133),
        (1, "tie", 0, 1134),
        (1, "program", 0, 1135),
        (1, "program", 127, 1262),
        (1, "drum", 0, 1263),
        (1, "drum", 127, 1390),
        # 126 more velocities shift all ids after them.
        (127, "velocity", 127, 1259),
        (127, "tie", 0, 1260),
        (127, "program", 0, 1261),
        (127, "drum", 127, 1516),
    ],
)
def test_ids(velocity_bins, kind, value, token):
    vocabulary = Vocabulary(velocity_bins)
    assert vocabulary.encode(kind, [value]).tolist() == [token]
    assert vocabulary.decode(token) == Event(kind, value)


@pytest.mark.parametrize(("velocity_bins", "last"), [(1, 1390), (127, 1516)])
def test_every_event_has_one_id_and_the_others_none(velocity_bins, last):
    vocabulary = Vocabulary(velocity_bins)
    events = [vocabulary.decode(token) for token in range(3, last + 1)]
    assert len(set(events)) == last - 2
    assert [vocabulary.encode(*event) for event in events] == list(range(3, last + 1))
    assert all(vocabulary.decode(token) is None for token in (-1, 0, 1, 2, last + 1))


@pytest.mark.parametrize(("velocity_bins", "rows"), [(1, 1536), (127, 1664)])
def test_embedding_rows(velocity_bins, rows):
    assert Vocabulary(velocity_bins).embedding_rows == rows


def test_velocity_bins_round_up_so_that_every_sounding_note_is_on():
    assert Vocabulary(1).velocity_to_bin([0, 1, 64, 127]).tolist() == [0, 1, 1, 1]
    assert Vocabulary(127).velocity_to_bin(np.arange(128)).tolist() == list(range(128))
    # 4 bins of 31.75 velocities each: 31 is in the first, 32 in the second.
    assert Vocabulary(4).velocity_to_bin([0, 31, 32, 63, 64, 127]).tolist() == [0, 1, 2, 2, 3, 4]


def test_bins_stand_for_their_upper_end_rounded_down():
    assert [Vocabulary(1).bin_to_velocity(bin_) for bin_ in (0, 1)] == [0, 127]
    # 31.75, 63.5, 95.25 and 127.
    assert [Vocabulary(4).bin_to_velocity(bin_) for bin_ in range(5)] == [0, 31, 63, 95, 127]


@pytest.mark.parametrize(("kind", "value"), [("shift", 1001), ("pitch", -1), ("velocity", 2)])
def test_values_without_id_are_refused(kind, value):
    with pytest.raises(ValueError, match=kind):
        Vocabulary(1).encode(kind, [0, value])


@pytest.mark.parametrize("velocity_bins", [0, 128])
def test_invalid_velocity_bins_are_refused(velocity_bins):
    with pytest.raises(ConfigError, match="velocity_bins"):
        Vocabulary(velocity_bins)
