"""A server with a short song, and its page in a browser."""

import dataclasses
import signal

import pytest

from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.music.midi.writer import write_midi
from tests.support.browser import EXECUTABLE
from tests.support.notation import note_table
from tests.support.played import Server
from tests.support.player_page import RECORD_STARTS, SECONDS, PlayerPage


@pytest.fixture(scope="package")
def page_song(tmp_path_factory):
    """A song of piano, trumpet (which the model replaces) and drums (which it leaves out)."""
    rows = [(0.0, 1.0, 48, 60, 0, False), (13.5, SECONDS, 60, 60, 0, False)]
    rows += [(0.5 * k, 0.5 * k + 0.45, 60 + k % 12, 90, 0, False) for k in range(27)]
    rows += [(k, k + 0.9, 67 + k % 5, 80, 56, False) for k in range(13)]
    rows += [(k + 0.5, k + 0.6, 36, 100, 0, True) for k in range(13)]
    path = tmp_path_factory.mktemp("page") / "Small song.mid"
    write_midi(note_table(sorted(rows), total_seconds=SECONDS), path)
    return path


@pytest.fixture(scope="package")
def page_model(tmp_path_factory):
    """The bundled model, with five of its instruments and no drums."""
    mini = open_checkpoint("mini")
    few = dataclasses.replace(mini.tokenization, programs=(0, 24, 33, 48, 73), drums=())
    folder = tmp_path_factory.mktemp("models") / "mini"
    save_model(dataclasses.replace(mini, tokenization=few), folder, "float16")
    return str(folder)


@pytest.fixture(scope="package")
def page_server(page_song, page_model):
    server = Server(str(page_song), "--model", page_model, "--model", "untrained")
    yield server
    # Tests of the server itself stop it with patience.
    server.stop(signal.SIGKILL)


@pytest.fixture(scope="package")
def tab(page_server):
    if EXECUTABLE is None:
        pytest.skip("needs chromium")
    tab = PlayerPage(page_server.address)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=RECORD_STARTS)
    yield tab
    tab.close()


@pytest.fixture
def page(tab):
    """The page, newly opened; nothing may go wrong in it."""
    tab.begin()
    yield tab
    assert tab.own_problems() == []
