"""Processes that measure in turns, so that other load on the machine affects all of them."""

import json
import os
import select
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

    def ask(self, line: str, limit_seconds: float | None = None) -> Any:
        """Sends a line and returns the answer.

        Raises:
            TimeoutError: if there is no answer after `limit_seconds`.
            EOFError: if the process has ended.
        """
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise EOFError from error
        if not select.select([self._process.stdout], [], [], limit_seconds)[0]:
            raise TimeoutError
        return self.read()

    def read(self) -> Any:
        """Returns the next answer.

        Raises:
            EOFError: if the process has ended.
        """
        line = self._process.stdout.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def stop(self) -> None:
        """Ends the process when it has read all lines."""
        self._process.stdin.close()
        self._process.wait()

    def kill(self) -> None:
        """Ends the process at once."""
        self._process.kill()
        self._process.wait()
