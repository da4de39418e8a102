"""Pieces that are rendered in the background while training goes on."""

import queue
import threading
import time

from spectrodiff.data.prepare.workers import map_in_processes
from spectrodiff.recipe.pieces import Piece, PieceMaker
from spectrodiff.recipe.settings import Recipe
from spectrodiff.recipe.store import Shape, Store

# New pieces are sent together: the tables of examples travel anew with each of them.
SEND_SECONDS = 3.0


class Pantry:
    """Pieces that processes render in the background, and what of them lies on the device.

    Args:
        recipe: sizes.
        maker: makes the pieces.
        workers: how many processes.
    """

    def __init__(self, recipe: Recipe, maker: PieceMaker, workers: int) -> None:
        config = recipe.config
        self.store = Store(
            Shape(
                pieces=recipe.most_pieces,
                piece_frames=recipe.piece_frames,
                lead_frames=config.context_frames,
                cuts=recipe.cuts,
                buckets=recipe.buckets,
            )
        )
        self.held_out: list[Piece] = []
        self._wanted = recipe.held_out_pieces
        self._ready: queue.Queue[Piece | Exception | None] = queue.Queue()
        self._pieces = map_in_processes(maker, range(recipe.most_pieces + self._wanted), workers)
        self._stopped = threading.Event()
        self._sent, self._finished = 0.0, False
        self._thread = threading.Thread(target=self._render, daemon=True)
        self._thread.start()

    def fill(self, count: int) -> None:
        """Waits until `count` pieces can be trained on.

        Raises:
            CorpusError: if a piece cannot be rendered.
        """
        while self.store.num_pieces < count:
            self._take(self._ready.get())
            while not self._ready.empty():
                self._take(self._ready.get())
            self.store.send(everything=self._finished)

    def refill(self) -> None:
        """Sends what has been rendered meanwhile, now and then.

        Raises:
            CorpusError: if a piece cannot be rendered.
        """
        if time.monotonic() - self._sent < SEND_SECONDS:
            return
        self._sent = time.monotonic()
        while not self._ready.empty():
            self._take(self._ready.get())
        self.store.send(everything=self._finished)

    def close(self) -> None:
        """Ends the rendering."""
        self._stopped.set()

    def _take(self, piece: Piece | Exception | None) -> None:
        if isinstance(piece, Exception):
            raise piece
        if piece is None:
            self._finished = True
        elif len(self.held_out) < self._wanted:
            self.held_out.append(piece)
        elif not self.store.full:
            self.store.add(piece)

    def _render(self) -> None:
        try:
            for piece in self._pieces:
                self._ready.put(piece)
                if self._stopped.is_set():
                    break
            self._ready.put(None)
        except Exception as error:  # whoever takes pieces raises it
            self._ready.put(error)
        finally:
            self._pieces.close()
