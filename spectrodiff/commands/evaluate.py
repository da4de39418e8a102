"""Command `evaluate`: renders the songs of prepared corpora, scores them, and writes a report.

Example: python eval.py --model runs/a --dataset maestro --data_dir data --out report/

The same command continues an evaluation that was stopped or killed. Audio and scores that are
already stored are not computed again.
"""

import argparse
import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from spectrodiff.commands.program import usage_name
from spectrodiff.commands.shared import gin_files, sampling
from spectrodiff.commands.shared.configs import CONFIGS
from spectrodiff.commands.shared.flags import (
    add_batch_size,
    add_data_dir,
    add_device,
    add_gin_flags,
    add_inverter,
    add_model,
    add_out,
    add_precision,
    add_process_flags,
    add_score_phases,
    add_seed,
)
from spectrodiff.commands.shared.parser import Parser
from spectrodiff.commands.shared.results import add_json, print_result, written
from spectrodiff.core.extras import need_extra
from spectrodiff.core.files import local_name
from spectrodiff.core.runtime import enable_compilation_cache, find_devices

if TYPE_CHECKING:
    from spectrodiff.evaluation.settings import Evaluation


def main(arguments: Sequence[str]) -> None:
    """Renders, scores and reports the songs that the command line and the gin files name."""
    flags = parse_flags(arguments)
    settings = configure(flags)
    settings.wanted_rows()  # reports impossible settings before anything is read
    need_extra("evaluate", "train")
    # Imported late, so that --help and errors in the command line are fast.
    import jax

    from spectrodiff.core import distributed
    from spectrodiff.evaluation import rendering, results, songs, store
    from spectrodiff.evaluation.dataclass_json import to_json
    from spectrodiff.evaluation.scoring.open_metrics import open_metrics
    from spectrodiff.evaluation.scoring.songs import score_songs
    from spectrodiff.evaluation.speed import SpeedMeter
    from spectrodiff.evaluation.summary import Summarizer
    from spectrodiff.evaluation.yardstick import with_soundfonts
    from spectrodiff.inverter import ScorePhases
    from spectrodiff.report import markdown_table, write_report
    from spectrodiff.synthesis.loading import load

    # Devices
    if flags.distributed or flags.coordinator_address:
        distributed.connect(flags.coordinator_address, flags.num_processes, flags.process_id)
    enable_compilation_cache()
    process, processes = jax.process_index(), jax.process_count()
    devices = [one for one in find_devices(flags.device) if one.process_index == process]
    leader = distributed.is_leader()

    # Recordings
    corpora = songs.open_corpora(
        settings.datasets, flags.data_dir, settings.split, songs=settings.songs
    )

    # Model and inverters
    model = rendering.ModelInfo.read(flags.model)
    if leader:
        asked = {str(row.sampling): row.sampling for row in settings.wanted_rows()}
        for changes in asked.values() if flags.model else ():
            kind, own = model.bare.config.kind, model.bare.sampling
            sampling.warn_of_sampling(changes, own, kind=kind, model=flags.model)
    settings = settings.with_model_defaults(model.bare.sampling, model.bare.tokenization)
    protocol = model.protocol(settings)
    corpora = [dataclasses.replace(corpus, protocol=protocol) for corpus in corpora]
    rows = with_soundfonts(settings.wanted_rows())
    assert settings.program_map is not None
    inverters = rendering.Inverters(model, devices[0].platform)
    scored = {
        row.name
        for row in rows
        if row.source in ("model", "encoded") and isinstance(inverters(row), ScorePhases)
    }
    descriptions = {
        row.name: rendering.describe(
            row,
            model,
            settings.precision,
            settings.program_map,
            score_phases=row.name in scored,
        )
        for row in rows
    }
    # Loaded only if there is audio to render.
    synthesizer = functools.cache(
        lambda: load(
            flags.model,
            inverter=inverters(settings),
            precision=settings.precision,
            devices=devices,
            tokenization={"program_map": settings.program_map},
        )
    )

    # Scores
    metrics, missing = open_metrics(settings)
    store.open_store(flags.out, descriptions, corpora, write=leader)
    distributed.wait_for_all()  # no process writes before the leader has checked the folder
    renderer = rendering.Renderer(
        flags.out,
        rows,
        descriptions,
        inverters,
        synthesizer,
        model.bare.tokenization.but({"program_map": settings.program_map}),
        settings.batch_size,
        leader,
    )
    for corpus in corpora:
        share = range(process, len(corpus), processes)
        renderer.references(corpus, share)
        renderer.model(corpus, share)
        score_songs(metrics, flags.out, rows, corpus, share, progress=leader)
    distributed.wait_for_all()

    # Results
    if leader:
        device = devices[0].device_kind
        speeds: dict[str, results.Speed] = {}
        if settings.speed_segments:
            song, segments = songs.longest_song(corpora), settings.speed_segments
            path = flags.out / store.SPEED
            meter = SpeedMeter(path, synthesizer, inverters, song, segments, device)
            speeds = meter.measure(rows, descriptions)
        summary = Summarizer(flags.out, settings, rows, metrics, missing).summarize(
            corpora, model=flags.model, device=f"{device} x {jax.device_count()}", speeds=speeds
        )
        results.write_results(flags.out, summary)
        page = write_report(flags.out)
        values = {"report": page, **to_json(summary)}
        print_result(flags, f"{markdown_table(summary)}\n{written(page)}", values)
    distributed.wait_for_all()  # a process that ends early would end the others


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the flags: paths and devices; all other settings are gin settings."""
    parser = Parser(
        prog=usage_name("evaluate"),
        description="Renders the songs of prepared corpora, scores them, and writes a report. "
        "The same command continues an evaluation that was stopped.",
        epilog="Example: python eval.py --model runs/a --dataset maestro --data_dir data "
        "--steps 100 --out report/",
    )
    add = parser.add_argument
    add_model(
        parser,
        "the one that is evaluated, such as a run folder; not needed with "
        "Evaluation.references_only",
    )
    add(
        "--dataset",
        type=local_name,
        action="append",
        metavar="CORPUS[/CONFIG][:SPLIT]",
        help="prepared corpus; may be repeated, means are then over corpora",
    )
    add("--split", help="split of the corpora (default: test)")
    add_data_dir(parser)
    add_out(parser, "folder of the report, new or to be continued", required=True)
    add_inverter(parser)
    add_score_phases(parser)
    add_seed(parser, "the noise", default=None)
    add_precision(parser, default=None)
    add_batch_size(parser, 8)
    add_gin_flags(
        parser.add_argument_group("settings from files (flags win)"),
        "'Evaluation.songs = 10', see configs/eval/",
    )
    sampling.add_sampling_flags(parser)
    add_json(
        parser,
        "report (the page), and title, model, settings, rows, metrics, corpora, mean "
        "and speed as in scores.json",
    )
    add_device(parser)
    add_process_flags(parser, "several processes (one per host), which share the songs")
    return parser.parse_args(arguments)


def configure(flags: argparse.Namespace) -> "Evaluation":
    """Returns the settings: defaults, overridden by gin files, then bindings, then flags."""
    # Settings of tasks import Flax, and --help should be fast.
    from spectrodiff.diffusion.sampling import combine
    from spectrodiff.evaluation.settings import Evaluation, Row
    from spectrodiff.training.tasks import RUN_SETTINGS

    # Files in configs/paper/ also hold settings of the training, which train.py reads.
    gin_files.parse(
        (Evaluation, Row, *RUN_SETTINGS), flags.gin_file, flags.gin_bindings, folder=str(CONFIGS)
    )
    datasets = tuple(flags.dataset) if flags.dataset else None
    names = ("seed", "inverter", "score_phases", "precision", "batch_size")
    given = {name: getattr(flags, name) for name in names}
    settings = gin_files.filled(Evaluation, datasets=datasets, split=flags.split, **given)
    # Times belong to the number of steps.
    stored = {name: getattr(settings, name) for name in (*sampling.NAMES, "times")}
    changes = sampling.sampling_of(flags)
    return dataclasses.replace(settings, **combine(changes, stored)) if changes else settings
