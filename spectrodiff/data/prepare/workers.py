"""Work in several processes, a few results ahead of who wants them."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.recordings import Outcome, Track, read_track

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_tracks(tracks: Sequence[Track], workers: int) -> Generator[Outcome, None, None]:
    """Reads tracks, in order.

    Args:
        tracks: what to read.
        workers: how many processes to use; with one, this process does it.

    Raises:
        CorpusError: if a worker process dies.
    """
    return map_in_processes(read_track, tracks, workers, lambda track: track.id)


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    name: Callable[[Item], str] = str,
) -> Generator[Result, None, None]:
    """Applies a function to items in several processes; yields the results in order.

    Args:
        function: can be pickled, as items and results can.
        items: what to apply it to.
        workers: how many processes to use; with one, this process does it.
        name: names an item in errors.

    Raises:
        CorpusError: if a worker process dies.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Fresh processes, as forked ones inherit locks of threads that they do not have.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )
    waiting = iter(items)
    started: deque[tuple[Item, Future[Result]]] = deque()
    try:
        # No more than a worker needs to stay busy: finished results take memory.
        for item in itertools.islice(waiting, workers + 1):
            started.append((item, pool.submit(function, item)))
        while started:
            item, future = started.popleft()
            try:
                yield future.result()
                for following in itertools.islice(waiting, 1):
                    started.append((following, pool.submit(function, following)))
            except BrokenProcessPool as error:
                expected = "a worker that lives"
                raise CorpusError(name(item), expected, "one that was killed") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _prepare_worker() -> None:
    # Ctrl-C goes to the whole group of processes; the first one says so, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this process when the first one is killed; a pool's workers would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
