"""Planning and measuring of points: songs, soundfonts, models and the note detector."""

import dataclasses
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from listening.measures import Bench, Value, measure
from listening.onsets import NoteDetector
from listening.songs import Form, bench_songs
from listening.sources import ModelSource, Renderings, SoundfontSource, invert_reference

import spectrodiff as sd
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.evaluation.checksums import path_checksum
from spectrodiff.inverter.loading import default_name

from .points import Point, Role, point_key

logger = logging.getLogger("spectrodiff.evaluations")


@dataclasses.dataclass(frozen=True)
class Planned:
    """A point that is known by its settings, with a function that measures it.

    Attributes:
        point: without measures.
        measure: renders and measures.
    """

    point: Point
    measure: Callable[[], list[Value]]


class Workshop:
    """Everything that points are measured with; what takes long is made when first needed.

    Args:
        form: amount of music.
        held_back: folder of MIDI files.
        cache: folder of rendered songs.
        inverter: inverter of all models; None for their own.
        batch_size: number of songs rendered in one batch.
        gain: of both soundfonts.
        second_soundfont: soundfont that models are not trained on.

    Raises:
        CorpusError: if FluidSynth, a soundfont or the songs are missing.
    """

    def __init__(
        self,
        form: Form,
        *,
        held_back: Path,
        cache: Path,
        inverter: str | None,
        batch_size: int,
        gain: float,
        second_soundfont: str,
    ) -> None:
        self._form, self._cache, self._inverter = form, cache, inverter
        self._batch_size = batch_size
        self._songs = bench_songs(form, held_back)
        self._first = SoundfontSource(None, cache, gain)
        self._second = SoundfontSource(second_soundfont, cache, gain)
        self._models: dict[str, sd.Synthesizer] = {}

    def sampling(self, name: str) -> Sampling:
        """Returns the model's own settings.

        Raises:
            CheckpointError: if there is no such model or inverter.
            ConfigError: if it is not a diffusion model.
        """
        return self._model(name).sampling

    def plan_model(
        self, role: Role, name: str, label: str, sampling: Sampling, seed: int
    ) -> Planned:
        """Plans a point of a model.

        Args:
            role: of the point.
            name: as `spectrodiff.load` takes it.
            label: name of the point.
            sampling: settings that it samples with.
            seed: of sampling.
        """
        synth = self._model(name)
        source = ModelSource(name, self._cache, synth, sampling, seed, self._batch_size)
        settings = {**source.key, "inverter": self._inverter_checksum}
        point = Point(
            role,
            label,
            self._key(settings, source.segment_frames),
            sampling.sampler,
            sampling.steps,
            sampling.guidance,
            sampling.evaluations,
            (),
        )
        return Planned(
            point, lambda: self._measure(source.render(self._songs), source.segment_frames)
        )

    def plan_baselines(self, teacher: str) -> list[Planned]:
        """Plans both soundfonts, and the teacher's inverter on the features of the first."""
        synth = self._model(teacher)
        frames = synth.config.target_frames
        # The model is in the key because it can have an inverter of its own.
        model = self.plan_model("teacher", teacher, teacher, synth.sampling, 0).point.key
        settings = {"inverter of": model}
        plans: tuple[tuple[Role, str, dict[str, Any], Callable[[], Renderings]], ...] = (
            ("soundfont", "FluidR3", self._first.key, lambda: self._reference),
            (
                "soundfont",
                self._second.name,
                self._second.key,
                lambda: self._second.render(self._songs),
            ),
            (
                "inverter",
                f"{synth.inverter.name} on FluidR3's features",
                settings,
                lambda: invert_reference(synth.inverter, self._reference, self._songs),
            ),
        )
        return [
            Planned(
                Point(role, name, self._key(settings, frames), None, None, None, None, ()),
                functools.partial(self._measure_rendered, render, frames),
            )
            for role, name, settings, render in plans
        ]

    def _model(self, name: str) -> sd.Synthesizer:
        if name not in self._models:
            synth = sd.load(name, inverter=self._inverter)
            if synth.config.kind == "autoregressive":
                raise ConfigError("model", "a diffusion model", f"{name}, an autoregressive one")
            self._models[name] = synth
        return self._models[name]

    @functools.cached_property
    def _inverter_checksum(self) -> str:
        return path_checksum(self._inverter or default_name())

    def _key(self, settings: dict[str, Any], segment_frames: int) -> str:
        shared = {
            "form": dataclasses.asdict(self._form),
            "songs": [[song.name, song.checksum] for song in self._songs],
            "reference": self._first.key,
            "segment_frames": segment_frames,
        }
        return point_key({**settings, **shared})

    @functools.cached_property
    def _reference(self) -> Renderings:
        logger.info("rendering %d songs with the soundfont", len(self._songs))
        return self._first.render(self._songs)

    @functools.cached_property
    def _detector(self) -> NoteDetector:
        return NoteDetector()

    def _measure_rendered(
        self, render: Callable[[], Renderings], segment_frames: int
    ) -> list[Value]:
        return self._measure(render(), segment_frames)

    def _measure(self, renderings: Renderings, segment_frames: int) -> list[Value]:
        bench = Bench(self._form, self._songs, self._reference, self._detector, segment_frames)
        return measure(bench, renderings)
