"""Reading tracks in several processes, a few ahead of who wants them."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from spectrodiff.data.recordings import Outcome, Track, read_track
from spectrodiff.errors import CorpusError


def read_tracks(tracks: Sequence[Track], workers: int) -> Generator[Outcome, None, None]:
    """Reads tracks, in order.

    Args:
        tracks: what to read.
        workers: how many processes to use; with one, this process does it.

    Raises:
        CorpusError: if a worker process dies.
    """
    if workers <= 1:
        yield from map(read_track, tracks)
        return
    # Fresh processes, as forked ones inherit locks of threads that they do not have.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )
    waiting = iter(tracks)
    started: deque[tuple[Track, Future[Outcome]]] = deque()
    try:
        # No more than a worker needs to stay busy: finished tracks take memory.
        for track in itertools.islice(waiting, workers + 1):
            started.append((track, pool.submit(read_track, track)))
        while started:
            track, future = started.popleft()
            try:
                yield future.result()
            except BrokenProcessPool as error:
                raise CorpusError(track.id, "a worker that lives", "one that was killed") from error
            for track in itertools.islice(waiting, 1):
                started.append((track, pool.submit(read_track, track)))
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
