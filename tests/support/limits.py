"""Runs functions in a child process with limits on memory and processor time.

One child serves all tests of a file:

    @pytest.fixture(scope="module")
    def limited():
        with Limited("tensorstore") as child:
            yield child

    def test_it(limited, path):
        with pytest.raises(CheckpointError):
            limited.run(read_it, path)
"""

import contextlib
import importlib
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

from tests.support.patience import PATIENCE_SECONDS

P = ParamSpec("P")
T = TypeVar("T")

MEGABYTE = 1 << 20
MEMORY_BYTES, CPU_SECONDS = 200 * MEGABYTE, 10
_ROOT = Path(__file__).parents[2]


class Limited:
    """A child process that runs functions within limits; a new one follows one that has ended.

    Args:
        modules: names of modules whose memory and time do not count, since the child imports them
            before.
        memory_bytes: limit of a run, above what the child has at its beginning.
        cpu_seconds: limit of a run, of all its threads.
    """

    def __init__(
        self, *modules: str, memory_bytes: int = MEMORY_BYTES, cpu_seconds: float = CPU_SECONDS
    ) -> None:
        self._modules = modules
        self._limits = memory_bytes, cpu_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """Returns what a function returns, or raises what it raises.

        Args:
            function: function of a module; it is sent by its name.
            arguments: arguments that can be pickled, as must be the result.
            named: arguments by name.

        Raises:
            MemoryError: if Python reaches the limit of memory.
            AssertionError: if the process ends, as at the other limits.
        """
        if self._process is None:
            self._process = self._start()
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        request = pickle.dumps((function, arguments, named))
        process.stdin.write(pickle.dumps((self._limits, request)))
        process.stdin.flush()
        try:
            answer = pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            status = process.wait()
            self.__exit__()
            raise AssertionError(_ending(status)) from None
        result, error = pickle.loads(answer)
        if error is not None:
            raise error
        returned: T = result
        return returned

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-m", __name__, *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _ending(status: int) -> str:
    reasons = {
        -signal.SIGPROF: "took longer than its limit of processor time",
        -signal.SIGALRM: "waited for ever",
        -signal.SIGABRT: "aborted",
    }
    return f"the process {reasons.get(status, f'ended with status {status}')}"


def _serve(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    requests = sys.stdin.buffer
    # What the functions print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    while True:
        try:
            limits, request = pickle.load(requests)
        except EOFError:
            return
        function, arguments, named = pickle.loads(request)
        with _within(*limits):
            result, error = _outcome(function, arguments, named)
        try:
            answer = pickle.dumps((result, error))
        except (AttributeError, TypeError, pickle.PicklingError):
            answer = pickle.dumps((None, TypeError(f"cannot send {result!r:.100} {error!r:.100}")))
        answers.write(pickle.dumps(answer))
        answers.flush()


def _outcome(function: Any, arguments: Any, named: Any) -> tuple[Any, Exception | None]:
    try:
        return function(*arguments, **named), None
    except Exception as error:
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return None, error


@contextlib.contextmanager
def _within(memory_bytes: int, cpu_seconds: float) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit_memory(memory_bytes)
    # The signals end the process, whatever code is running.
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_DATA, before)


def limit_memory(more_bytes: int) -> None:
    """Limits the memory of this process to what it has and some more.

    What counts is private and writable: neither files that are mapped nor reserved addresses.
    """
    status = Path("/proc/self/status").read_text()
    now = 1024 * int(re.findall(r"VmData:\s+([0-9]+) kB", status)[0])
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (now + more_bytes, hard))


if __name__ == "__main__":
    _serve(sys.argv[1:])
