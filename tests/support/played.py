"""A server of the page in a process of its own, and what a page would ask it."""

import contextlib
import http.client
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from tests.support.patience import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]


class Part(NamedTuple):
    """A part of a take as it is sent."""

    header: dict[str, Any]
    spectrogram: np.ndarray  # uint8 [frames, 128]
    audio: np.ndarray  # int16 [samples]


class Server:
    """The command `play`, without a browser."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "spectrodiff", "play", "--no_browser", "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://"), self.process.stderr.read()
        self.port = urlsplit(self.address).port

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPResponse, bytes]:
        """Returns status, response and body; dictionaries are sent as JSON."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, response, response.read()

    def get(self, path: str) -> Any:
        """Returns the JSON at an address."""
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def post(self, path: str, body: Any = None) -> Any:
        """Sends a dictionary or bytes and returns the JSON of the answer."""
        status, _, answer = self.ask("POST", path, body if body is not None else {})
        assert status == 200, answer
        return json.loads(answer)

    def refusal(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Returns status and message of a request that is refused."""
        status, _, answer = self.ask(method, path, body)
        return status, json.loads(answer)["error"]

    def parts(self, path: str) -> Iterator[Part]:
        """Yields the parts of a stream; closing this closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            while size := response.read(4):
                header = json.loads(response.read(struct.unpack("<I", size)[0]))
                assert "error" not in header, header
                spectrogram = np.frombuffer(response.read(header["frames"] * 128), np.uint8)
                audio = np.frombuffer(response.read(header["samples"] * 2), "<i2")
                yield Part(header, spectrogram.reshape(-1, 128), audio)

    def take_parts(self, take: dict[str, Any], segment: int = 0) -> Iterator[Part]:
        """Yields the parts of a take from a segment on."""
        query = f"revision={take['revision']}&segment={segment}"
        return self.parts(f"/api/takes/{take['id']}/parts?{query}")

    def stop(self, how: int = signal.SIGINT) -> tuple[int, str]:
        """Stops the server; returns its exit status and what it said."""
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, said
