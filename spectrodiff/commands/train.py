"""Trains a model: python train.py --gin_file configs/tiny.gin --data_dir data --run_dir runs/a.

Paths are flags, settings are gin. The same command resumes a run that was stopped or killed. With
more steps it extends a run, unless its learning-rate schedule ends with the last step.
"""

import argparse
import contextlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared import gin_files
from spectrodiff.commands.shared.configs import CONFIGS
from spectrodiff.commands.shared.flags import (
    add_data_dir,
    add_device,
    add_gin_flags,
    add_init_from,
    add_process_flags,
)
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import local_path
from spectrodiff.core.runtime import enable_compilation_cache, find_devices, keep_memory

if TYPE_CHECKING:
    from spectrodiff.training.task import RunSettings

logger = logging.getLogger(__name__)

FIRST_CONFIGS = (
    "a config, such as tiny.gin, which takes minutes on a CPU, mini/narrow.gin for a small model, "
    "or small_context.gin for the paper's"
)


def main(arguments: Sequence[str]) -> None:
    """Trains the model that the command line and the gin files describe."""
    flags = parse_flags(arguments)
    if not flags.gin_file and not flags.gin_bindings:
        raise ConfigError("--gin_file", FIRST_CONFIGS, "none")
    settings = configure(flags.gin_file, flags.gin_bindings)
    need_extra("train", "train")
    # Before JAX starts threads. Otherwise steps on a CPU spend time on mapping memory again.
    keep_memory()
    # Imported here so that errors in settings are fast.
    import jax

    from spectrodiff.core import distributed
    from spectrodiff.core.parallel import make_mesh, replicated, shardings_of
    from spectrodiff.training import data, run_folder, start, state
    from spectrodiff.training.checkpointing import Checkpoints, silence_orbax
    from spectrodiff.training.evaluation import Evaluator
    from spectrodiff.training.loggers import check_installed
    from spectrodiff.training.loop import Run, train
    from spectrodiff.training.optimizers import learning_rate, make_optimizer
    from spectrodiff.training.step import make_train_step

    check_installed(settings.training.loggers)
    silence_orbax()

    # Devices
    if flags.distributed or flags.coordinator_address:
        distributed.connect(flags.coordinator_address, flags.num_processes, flags.process_id)
    enable_compilation_cache()
    mesh = make_mesh(find_devices(flags.device))

    # What gin leaves open is as in the model to start from
    given = given_settings()
    settings = start.with_settings_of(flags.run_dir, flags.init_from, settings, given)
    settings.training.check_devices(mesh.size)

    # Data
    training, optimization = settings.training, settings.optimization
    task = settings.make_task()
    batches = data.open_batches(settings, task, flags.data_dir)
    examples = data.open_examples(settings, task, flags.data_dir)

    # Optimizer
    rate = learning_rate(optimization, training.steps)
    optimizer = make_optimizer(optimization, rate)
    placement = state.Placement(
        mesh, split=training.shard_parameters, ema=optimization.ema_decay is not None
    )

    leader = distributed.is_leader()
    with (
        # Run folder, locked by one process, and everything to close at the end
        run_folder.hold_run(flags.run_dir) if leader else contextlib.nullcontext(),
        distributed.closing_soon(batches),
        Checkpoints(
            run_folder.open_run(flags.run_dir, settings, write=leader),
            keep=training.keep,
            keep_every=training.keep_every,
            strict=flags.strict_resume,
        ) as checkpoints,
    ):
        if leader:
            gin_files.write(flags.run_dir)

        # First state
        if checkpoints.latest is None:
            params = start.initial_params(task, training.seed, flags.init_from)
            begin = state.place_state(params, optimizer, placement)
        else:
            wanted = state.abstract_state(task, optimizer, placement)
            begin, position = checkpoints.restore(wanted)
            start.check_restored(flags.run_dir, begin, wanted)
            batches.set_state(position)
            logger.info("resuming after step %d", checkpoints.latest)

        # Train
        shardings = shardings_of(begin)
        frozen = jax.device_put(task.frozen, replicated(mesh))
        train_step = make_train_step(task, optimizer, mesh, shardings, training, optimization)
        evaluator = Evaluator(
            task,
            examples,
            batch_size=mesh.size * max(1, 16 // mesh.size),
            mesh=mesh,
            shardings=shardings,
            frozen=frozen,
        )
        run = Run(
            flags.run_dir,
            mesh,
            task,
            train_step,
            frozen,
            rate,
            batches,
            examples,
            evaluator,
            checkpoints,
            training,
        )
        last = train(run, begin)
        if leader:
            step = int(last.step)
            text = f"{written(flags.run_dir)}  trained to step {step:,}"
            print_result(flags, text, {"run_dir": flags.run_dir, "step": step})


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Returns the flags: paths, devices and gin settings."""
    parser = Parser(
        prog=usage_name("train"),
        description="Trains a model on prepared corpora. Paths are flags, settings are gin. The "
        "same command resumes a run.",
        epilog="Example: python train.py --gin_file configs/base_context.gin "
        "--gin_bindings 'BATCH_SIZE = 32' --data_dir data --run_dir runs/a",
    )
    add = parser.add_argument
    add_gin_flags(parser, "'LEARNING_RATE = 3e-4'")
    add("--run_dir", type=local_path, required=True, help="folder of the run, new or to resume")
    add_data_dir(parser)
    add_init_from(
        parser,
        "; without settings of Network, its network and tokenization are used; ignored if a run is "
        "resumed",
    )
    add(
        "--strict_resume",
        action="store_true",
        help="stop with an error if the newest checkpoint is damaged (default: resume from the "
        "one before it)",
    )
    add_device(parser)
    add_json(parser, "run_dir and step, the last one")
    add_process_flags(parser, "several processes (one per host)")
    return parser.parse_args(arguments)


def configure(files: Sequence[str], bindings: Sequence[str]) -> "RunSettings":
    """Returns the settings of gin files and bindings, the last of which win."""
    # Settings of tasks import Flax, and --help should be fast.
    from spectrodiff.diffusion.sampling import Sampling
    from spectrodiff.evaluation.settings import Evaluation, Row
    from spectrodiff.music.tokenization import Tokenization
    from spectrodiff.training.settings import Data, Network, Optimization, Training
    from spectrodiff.training.task import RunSettings
    from spectrodiff.training.tasks import RUN_SETTINGS, settings_class
    from spectrodiff.training.tasks.invert import Inversion

    # Files in configs/paper/ have settings of evaluation, too.
    gin_files.parse((*RUN_SETTINGS, Evaluation, Row), files, bindings, folder=str(CONFIGS))
    training = gin_files.filled(Training)
    # Files from before the task was a setting would otherwise train a denoiser.
    if training.task != "invert" and "generator" in gin_files.given(Inversion):
        expected = "'invert', as Inversion.generator is set"
        raise ConfigError("Training.task", expected, repr(training.task))
    return RunSettings(
        gin_files.filled(Network),
        gin_files.filled(settings_class(training.task)),
        gin_files.filled(Optimization),
        training,
        gin_files.filled(Data),
        gin_files.filled(Tokenization),
        gin_files.filled(Sampling),
    )


def given_settings() -> dict[type, set[str]]:
    """Returns the names of the settings that gin was given, by class."""
    from spectrodiff.training.tasks import RUN_SETTINGS

    return {settings: set(gin_files.given(settings)) for settings in RUN_SETTINGS}
