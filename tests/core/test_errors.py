"""Messages of one line, without characters that command a terminal."""

import os
import pickle
from pathlib import Path

import pytest

from spectrodiff.core.errors import MidiError, first_line, printable, printable_text


def test_message_is_one_line_and_survives_a_process_boundary():
    error = MidiError(Path("a  b.mid"), "notes", "a reason\nof two lines")
    assert str(error) == "a  b.mid: expected notes, got a reason of two lines"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is MidiError
    assert (str(again), again.subject, again.got) == (str(error), "a  b.mid", error.got)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;x\x07", r"\x1b]0;x\x07"),
        ("a\nb\tc\x7f\x9b", r"a\nb\tc\x7f\x9b"),
        # Marks that turn the order of letters around, and that end lines in a browser.
        ("a\u202egpj.exe\u202c\u2066b\u2069", r"a\u202egpj.exe\u202c\u2066b\u2069"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("caf\udce9", r"caf\udce9"),
        *((text, text) for text in ("\u05e9\u05d9\u05e8", "\u00e9 \u2013 \U0001f3b9")),
    ],
)
def test_control_characters_are_escaped(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown
    assert str(MidiError(text, "notes", "none")) == f"{shown}: expected notes, got none".replace(
        r"\n", " "
    )


def test_lines_of_a_text_are_kept():
    assert printable_text("a\x1b[2J\r\nb\n") == "a\\x1b[2J\\r\nb\n"


def test_errors_of_the_system_are_phrases():
    with pytest.raises(OSError, match="Errno") as caught:
        os.stat("/nowhere/a")
    assert first_line(caught.value) == "No such file or directory"
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
