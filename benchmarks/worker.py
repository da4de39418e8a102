"""Processes that measure in turns, so that other load on the machine affects all of them."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any


class Worker:
    """A script in another process that answers each line of its input with a line of JSON.

    Args:
        command: starts the process.
        environment: variables besides those of this process.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def ask(self, line: str) -> Any:
        """Sends a line and returns the answer."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> Any:
        """Returns the next answer."""
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()
