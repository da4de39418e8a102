"""A model's generators of segments, one for each sampling settings in use."""

import dataclasses
import logging
import threading
from collections.abc import Sequence

import jax
from jax.sharding import Mesh

from spectrodiff.checkpoints.model import Description
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.models.definition import Params
from spectrodiff.synthesis.segments.autoregressive import AutoregressiveSegments
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentModel
from spectrodiff.synthesis.tuning import Tuning

logger = logging.getLogger(__name__)

# Sampling settings whose generators are kept; two that are compared take turns.
KEPT_MODELS = 4


@dataclasses.dataclass(eq=False)
class KeptModels:
    """Generators of segments for sampling settings; those used last are kept. Threads share it.

    Attributes:
        description: the model.
        params: its parameters, on the devices.
        dtype: type of the matrix products.
        devices: all of them generate many songs at once, the first one a single song.
        tuning: settings of the compiled programs; None for those for the devices.
    """

    description: Description
    params: Params
    dtype: type
    devices: Sequence[jax.Device]
    tuning: Tuning | None

    def __post_init__(self) -> None:
        self._models: dict[tuple[Sampling | None, bool], SegmentModel] = {}
        self._lock = threading.Lock()

    def get(self, sampling: Sampling, *, many: bool) -> SegmentModel:
        """Returns the generator for some settings, of one song or many at once.

        Raises:
            ConfigError: if the model cannot follow the settings.
        """
        autoregressive = self.description.config.kind == "autoregressive"
        settings = None if autoregressive else sampling, many
        with self._lock:
            model = self._models.pop(settings, None)
            if model is None:
                mesh = make_mesh(self.devices if many else self.devices[:1])
                build = self._autoregressive if autoregressive else self._diffusion
                model = build(sampling, mesh)
            self._models[settings] = model  # the last one was used last
            if len(self._models) > KEPT_MODELS:
                del self._models[next(iter(self._models))]
            return model

    def _diffusion(self, sampling: Sampling, mesh: Mesh) -> SegmentModel:
        return DiffusionSegments(
            self.description.config,
            self.params,
            schedule=make_schedule(self.description.schedule),
            prediction=self.description.prediction,
            sampling=sampling,
            dtype=self.dtype,
            mesh=mesh,
            tuning=self.tuning,
        )

    def _autoregressive(self, _: Sampling, mesh: Mesh) -> SegmentModel:
        logger.info(
            "this model is autoregressive: it ignores steps, sampler, guidance and all other "
            "settings of the sampling"
        )
        config = self.description.config
        return AutoregressiveSegments(
            config, self.params, dtype=self.dtype, mesh=mesh, tuning=self.tuning
        )
