"""Supply of songs for training: rendered in other processes, added to the device's memory."""

import queue
import threading
import time

from spectrodiff.data.prepare.workers import map_in_processes
from spectrodiff.recipe.device_songs import Capacity, DeviceSongs
from spectrodiff.recipe.settings import Recipe
from spectrodiff.recipe.songs import RenderedSong, SongMaker

# Interval of transfers to the device: each one transfers the tables of all examples again.
SEND_SECONDS = 3.0


class SongSupply:
    """Songs that processes render during training.

    Attributes:
        held_out: the first songs, for evaluation only.
        on_device: songs to train on.

    Args:
        recipe: number and lengths of the songs.
        maker: makes the songs.
        workers: number of processes.
    """

    def __init__(self, recipe: Recipe, maker: SongMaker, workers: int) -> None:
        self.held_out: list[RenderedSong] = []
        self.on_device = DeviceSongs(
            Capacity(
                songs=recipe.max_songs,
                song_frames=recipe.song_frames,
                lead_frames=recipe.config.context_frames,
                examples_per_song=recipe.examples_per_song,
                buckets=recipe.buckets,
            )
        )
        self._num_held_out = recipe.held_out_songs
        numbers = range(recipe.max_songs + self._num_held_out)
        self._songs = map_in_processes(maker, numbers, workers)
        # None marks the end.
        self._ready: queue.Queue[RenderedSong | Exception | None] = queue.Queue()
        self._stopped = threading.Event()
        self._sent, self._finished = 0.0, False
        threading.Thread(target=self._render, daemon=True).start()

    def wait_for(self, count: int) -> None:
        """Waits until `count` songs are on the device.

        Raises:
            CorpusError: if a song cannot be rendered.
        """
        while self.on_device.num_songs < count:
            self._take(self._ready.get())
            self._send()

    def add_rendered(self) -> None:
        """Transfers songs that have been rendered to the device, every few seconds.

        Raises:
            CorpusError: if a song cannot be rendered.
        """
        if time.monotonic() - self._sent >= SEND_SECONDS:
            self._sent = time.monotonic()
            self._send()

    def close(self) -> None:
        """Ends the rendering."""
        self._stopped.set()

    def _send(self) -> None:
        while not self._ready.empty():
            self._take(self._ready.get())
        self.on_device.send(everything=self._finished)

    def _take(self, song: RenderedSong | Exception | None) -> None:
        if isinstance(song, Exception):
            raise song
        if song is None:
            self._finished = True
        elif len(self.held_out) < self._num_held_out:
            self.held_out.append(song)
        elif not self.on_device.full:
            self.on_device.add(song)

    def _render(self) -> None:
        try:
            for song in self._songs:
                self._ready.put(song)
                if self._stopped.is_set():
                    break
            self._ready.put(None)
        except Exception as error:  # raised again where songs are taken
            self._ready.put(error)
        finally:
            self._songs.close()
