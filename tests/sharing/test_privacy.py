"""Nothing of a machine, and no password, is in what is shared."""

import json

import pytest

from spectrodiff.sharing.origins import Origin, read_origin
from spectrodiff.sharing.privacy import hide_folders, without_folders, without_paths
from tests.support.made_models import made_model

NAMES = [
    ("/home/joe/x", "x"),
    ("/home/joe smith/Client Acme/x", "x"),
    ("~joe/x", "x"),
    ("~/joe/x/", "x"),
    ("$HOME/joe/x", "x"),
    ("../../joe/x", "x"),
    ("C:/Users/joe/x", "x"),
    ("c:\\Users\\joe\\x", "x"),
    ("\\\\server\\joe\\x", "x"),
    ("file:///home/joe/x", "x"),
    ("audio:/home/joe/x", "audio:x"),
    ("https://joe:pass@example.com/m.zip?sig=SECRET#joe", "https://example.com/m.zip"),
    ("https://joe@example.com:8080/a/m.zip", "https://example.com:8080/a/m.zip"),
    ("https://joe:pa/ss@example.com/m.zip", "https://..."),
    ("gs://bucket/a/b", "gs://bucket/a/b"),
    ("me/model@v1", "me/model@v1"),
    ("paddle:me/model", "paddle:me/model"),
    ("soundfont/songs", "soundfont/songs"),
    ("3 / 4 and/or", "3 / 4 and/or"),
    ("", ""),
]


@pytest.mark.parametrize(("name", "wanted"), NAMES)
def test_names_and_gin_strings(name, wanted):
    assert without_folders(name) == wanted
    for text in (f"A.b = ('c', {name!r})\n", f"A.b = {{'c': {name!r}}}  # d\n"):
        assert without_paths(text) == text.replace(repr(name), repr(wanted))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("inverter /a/b/c.onnx, seed 1", "inverter c.onnx, seed 1"),
        ("inverter /home/joe smith/Client Acme/inv.onnx", "inverter inv.onnx"),
        ("corpora: maestro/v3 (2 songs)", "corpora: maestro/v3 (2 songs)"),
        ("(/home/joe/a)", "(a)"),
        ("--out=/home/joe/a", "--out=a"),
        ("as 'C:/Users/joe/a'", "as 'a'"),
        ("of https://u:p@h/x?sig=1 and /a/b", "of https://h/x and b"),
        ("_https://u:p@h/x?sig=1", "_https://h/x"),
    ],
)
def test_texts(text, wanted):
    assert hide_folders(text) == wanted
    assert without_paths(f"# {text}\nA.b = 1\n") == f"# {wanted}\nA.b = 1\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # As gin breaks long texts.
        ("A.b = \\\n    ('/home/joe '\n     'smith/x')\n", "A.b = \\\n    ('x')\n"),
        ("A.b = ('/home/joe'  # /joe/y\n '/x')\n", "A.b = ('x')\n"),
        ("A.b = '/home/joe/it\\'s/x'\n", "A.b = 'x'\n"),
        ("# don't\nA.b = '/home/joe/x'\n", "# don't\nA.b = 'x'\n"),
        ("A.b = ('it\\'s', '/home/joe/x')\n", "A.b = ('it\\'s', 'x')\n"),
        ("A.b = r'C:\\joe\\x', b'/joe/x'\n", "A.b = 'x', b'x'\n"),
        ("A.b = '/home/joe/\\\n x'\n", "A.b = ' x'\n"),
        ("include '/home/joe/x.gin'\na/A.b = @c/D()\nE = %F\n", None),
        ("A.b = '/home/joe/x\nC.d = 1\n", "# Left out, since it cannot be read.\n"),
        ("A.b = ('/home/joe/x'\n", "# Left out, since it cannot be read.\n"),
    ],
)
def test_gin_texts(text, wanted):
    assert without_paths(text) == (wanted or text.replace("/home/joe/", ""))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        *[(name, wanted) for name, wanted in NAMES if name.startswith(("http", "me", "~", "C:"))],
        ("runs/joe/x", "x"),
        ("mini", "mini"),
    ],
)
def test_models_that_a_run_came_from(tmp_path, given, wanted):
    (tmp_path / "run.json").write_text(json.dumps({"settings": {}}))
    command = ["train.py", f"--init-from={given}"]
    (tmp_path / "environment.json").write_text(json.dumps({"command": command}))
    origin = read_origin(tmp_path, made_model())
    assert origin.started_from == wanted
    settings = {"Distillation": {"teacher": given}}
    assert Origin(1, settings, "", [], None, {}).teacher == wanted
