"""Trains a model: python train.py --gin_file configs/tiny.gin --data_dir data --run_dir runs/a.

The same command goes on with a run that was stopped or killed. With more steps it makes a run
longer, unless its learning rate was planned to end with it.
"""

import argparse
import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path

from spectrodiff.commands import gin_files
from spectrodiff.commands.flags import (
    CONFIGS,
    add_data_dir,
    add_device,
    add_gin_flags,
    add_process_flags,
)
from spectrodiff.commands.program import usage_name
from spectrodiff.core.runtime import enable_compilation_cache, find_devices, keep_memory
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks import RUN_SETTINGS, settings_class

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> None:
    """Trains the model that the command line and the gin files describe."""
    flags = parse_flags(arguments)
    settings = configure(flags.gin_file, flags.gin_bindings)
    # Before JAX has threads; on a CPU a step would spend a part of its time on clearing memory.
    keep_memory()
    # Only now, so that --help and misspelt names answer at once.
    from spectrodiff.core import distributed
    from spectrodiff.core.parallel import make_mesh, shardings_of
    from spectrodiff.training import data, run_folder, start, state
    from spectrodiff.training.checkpointing import Checkpoints, silence_orbax
    from spectrodiff.training.evaluation import Evaluation as TrainingEvaluation
    from spectrodiff.training.loop import Run, train
    from spectrodiff.training.optimizers import learning_rate, make_optimizer
    from spectrodiff.training.step import make_train_step

    silence_orbax()

    # Devices
    if flags.distributed or flags.coordinator_address:
        distributed.connect(flags.coordinator_address, flags.num_processes, flags.process_id)
    enable_compilation_cache()
    mesh = make_mesh(find_devices(flags.device))
    settings.training.check_devices(mesh.size)

    # Data
    training, optimization = settings.training, settings.optimization
    task = settings.make_task()
    batches = data.open_batches(settings, task, flags.data_dir)
    examples = data.open_examples(settings, task, flags.data_dir)

    # Optimiser
    rate = learning_rate(optimization, training.steps)
    optimizer = make_optimizer(optimization, rate)
    layout = state.Layout(
        mesh, split=training.shard_parameters, ema=optimization.ema_decay is not None
    )

    leader = distributed.is_leader()
    with (
        # Run folder, which is one process's alone, and all that is open as long as it runs
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

        # Where to begin
        if checkpoints.latest is None:
            params = start.initial_params(task, training.seed, flags.init_from)
            begin = state.place_state(params, optimizer, layout)
        else:
            wanted = state.abstract_state(task, optimizer, layout)
            begin, position = checkpoints.restore(wanted)
            start.check_restored(flags.run_dir, begin, wanted)
            batches.set_state(position)
            logger.info("resuming after step %d", checkpoints.latest)

        # Train
        shardings = shardings_of(begin)
        train_step = make_train_step(task, optimizer, mesh, shardings, training, optimization)
        evaluation = TrainingEvaluation(
            task,
            examples,
            batch_size=mesh.size * max(1, 16 // mesh.size),
            mesh=mesh,
            shardings=shardings,
        )
        run = Run(
            flags.run_dir,
            mesh,
            task,
            train_step,
            rate,
            batches,
            examples,
            evaluation,
            checkpoints,
            training,
        )
        train(run, begin)


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Where things are; what to do is said by gin files and bindings."""
    parser = argparse.ArgumentParser(
        prog=usage_name("train"),
        description="Trains a model on prepared corpora. The same command goes on with a run.",
        epilog="Example: python train.py --gin_file configs/base_context.gin "
        "--gin_bindings 'BATCH_SIZE = 32' --data_dir data --run_dir runs/a",
    )
    add = parser.add_argument
    add_gin_flags(
        parser,
        "settings, see configs/; may be given again, later files win",
        "one setting, such as 'LEARNING_RATE = 3e-4'; may be given again; wins over files",
    )
    add("--run_dir", type=Path, required=True, help="folder of the run, made or gone on with")
    add_data_dir(parser)
    add(
        "--init_from",
        metavar="MODEL",
        help="begin with a model's weights: a run folder, a released model, anything that "
        "sample.py takes as --model; ignored when a run goes on",
    )
    add(
        "--strict_resume",
        action="store_true",
        help="refuse to go on if the newest checkpoint is damaged; by default the one before it "
        "is taken",
    )
    add_device(parser)

    add_process_flags(parser, "several processes (one per host)")
    return parser.parse_args(arguments)


def configure(files: Sequence[str], bindings: Sequence[str]) -> RunSettings:
    """Returns the settings of defaults, gin files and bindings, the last of which wins."""
    # The files in configs/paper/ also hold settings of evaluation.
    gin_files.parse((*RUN_SETTINGS, Evaluation, Row), files, bindings, folder=str(CONFIGS))
    training = gin_files.filled(Training)
    return RunSettings(
        gin_files.filled(Network),
        gin_files.filled(settings_class(training.task)),
        gin_files.filled(Optimization),
        training,
        gin_files.filled(Data),
        gin_files.filled(Tokenization),
        gin_files.filled(Sampling),
    )
