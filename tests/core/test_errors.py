import pickle
from pathlib import Path

from spectrodiff.core.errors import MidiError


def test_message_is_one_line_and_survives_a_process_boundary():
    error = MidiError(Path("a  b.mid"), "notes", "a reason\nof two lines")
    assert str(error) == "a  b.mid: expected notes, got a reason of two lines"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MidiError
    assert (str(again), again.subject, again.got) == (str(error), "a  b.mid", error.got)
