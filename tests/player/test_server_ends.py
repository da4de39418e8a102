"""The server of the page when it stops, or an upload does, or it cannot begin."""

import http.client
import signal
import socket

import pytest

from spectrodiff.commands import play
from spectrodiff.core.errors import ConfigError
from tests.support.played import ROOT, Server


def test_an_upload_that_breaks_off_and_addresses_that_cannot_be():
    server = Server("--model", "untrained")
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.putrequest("POST", "/api/songs?name=a.mid")
    connection.putheader("Content-Length", "1000000")
    connection.endheaders(b"MThd")
    connection.close()
    server.get("/api/setup")
    _, said = server.stop()
    assert "Traceback" not in said
    for host in ("", "no.such.name.invalid"):
        with pytest.raises(ConfigError, match="address: expected"):
            play.main(["--model", "untrained", "--host", host])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_server_stops_while_it_streams(how):
    server = Server("--model", "untrained")
    song = server.post("/api/examples/greensleeves")
    take = server.post("/api/takes", {"song": song["id"], "settings": {"steps": 50}})
    live = server.post("/api/live", {})
    streams = [server.take_parts(take), server.parts(f"/api/live/{live['id']}/parts")]
    next(streams[0])
    status, said = server.stop(how)
    assert status in (0, 130, 143, -signal.SIGTERM)
    assert "Traceback" not in said
    for stream in streams:
        stream.close()
    assert (ROOT / "examples" / "greensleeves.mid").is_file()


def test_a_body_that_does_not_come_holds_up_no_stop():
    server = Server("--model", "untrained")
    with socket.create_connection(("127.0.0.1", server.port)) as half:
        head = f"POST /api/songs HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        half.sendall(f"{head}Content-Length: 1000\r\n\r\nMThd".encode())
        server.get("/api/setup")  # the half is read by now
        _, said = server.stop()
        assert b'"the server is stopping"' in half.makefile("rb").read()
    assert "shutdown exceeded" not in said  # nothing was given up after a time
