"""Evaluates a model: python eval.py --model runs/a --dataset maestro --data_dir data --out report/.

The same command goes on with an evaluation that was stopped or killed, and scores again without
rendering again.
"""

import argparse
import functools
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
from spectrodiff.core.runtime import enable_compilation_cache, find_devices
from spectrodiff.evaluation.settings import Evaluation, Row
from spectrodiff.training.tasks import RUN_SETTINGS


def main(arguments: Sequence[str]) -> None:
    """Renders, scores and reports what the command line and the gin files describe."""
    flags = parse_flags(arguments)
    settings = configure(flags)
    settings.wanted_rows()  # refuses what is impossible before anything is read
    # Only now, so that --help and misspelt names answer at once.
    import jax

    from spectrodiff.core import distributed
    from spectrodiff.evaluation import rendering, songs, store
    from spectrodiff.evaluation.open_scorers import open_scorers
    from spectrodiff.evaluation.results import Results
    from spectrodiff.evaluation.scorers import score_songs
    from spectrodiff.evaluation.speed import SpeedMeter
    from spectrodiff.report import markdown_table, write_report
    from spectrodiff.synthesis import load

    # Devices
    if flags.distributed or flags.coordinator_address:
        distributed.connect(flags.coordinator_address, flags.num_processes, flags.process_id)
    enable_compilation_cache()
    process, processes = jax.process_index(), jax.process_count()
    devices = [one for one in find_devices(flags.device) if one.process_index == process]
    leader = distributed.is_leader()

    # Recordings
    corpora = songs.open_corpora(
        settings.datasets,
        flags.data_dir,
        settings.split,
        songs=settings.songs,
        max_minutes=settings.max_minutes,
    )

    # Model and inverters
    model = rendering.Model.look_at(flags.model)
    settings = settings.of_model(model.bare.sampling, model.bare.tokenization)
    rows = settings.wanted_rows()
    assert settings.program_map is not None
    descriptions = {
        row.name: rendering.describe(row, model, settings.precision, settings.program_map)
        for row in rows
    }
    inverters = rendering.Inverters(model, devices[0].platform)
    for row in rows:
        if row.source != "raw":
            inverters(row.inverter)
    # Loaded only if there is something to render.
    synthesizer = functools.cache(
        lambda: load(
            flags.model,
            inverter=inverters(settings.inverter),
            precision=settings.precision,
            devices=devices,
            tokenization={"program_map": settings.program_map},
        )
    )

    # Scores
    scorers, missing = open_scorers(settings)
    store.open_store(flags.out, descriptions, corpora, write=leader)
    distributed.wait_for_all()  # nobody writes before the leader has looked at the folder
    renderer = rendering.Renderer(
        flags.out, rows, descriptions, inverters, synthesizer, settings.batch_size, leader
    )
    for corpus in corpora:
        share = range(process, len(corpus), processes)
        renderer.references(corpus, share)
        renderer.model(corpus, share)
        score_songs(scorers, flags.out, rows, corpus, share, progress=leader)
    distributed.wait_for_all()

    # Results
    if leader:
        results = Results(flags.out, settings, rows, scorers, missing)
        device = devices[0].device_kind
        scores = results.summarize(
            corpora, model=flags.model, device=f"{device} x {jax.device_count()}"
        )
        if settings.speed_segments:
            meter = SpeedMeter(
                flags.out / store.SPEED,
                synthesizer,
                inverters,
                songs.longest(corpora),
                settings.speed_segments,
                device,
            )
            scores |= results.with_speeds(meter.measure(rows, descriptions))
        store.write_json(flags.out / store.SCORES, scores)
        print(markdown_table(scores))
        print(write_report(flags.out))
    distributed.wait_for_all()  # a process that left early would end the others


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    """Where things are; what to do is said by gin files and bindings."""
    parser = argparse.ArgumentParser(
        prog=usage_name("evaluate"),
        description="Renders the songs of prepared corpora, scores them, and writes a report. "
        "The same command goes on with an evaluation.",
        epilog="Example: python eval.py --model runs/a --dataset maestro --data_dir data "
        "--gin_bindings 'Evaluation.steps = 100' --out report/",
    )
    add = parser.add_argument
    add(
        "--model",
        help="which model: a run folder, a released model, anything that sample.py takes; not "
        "needed with Evaluation.references_only",
    )
    add(
        "--dataset",
        action="append",
        metavar="CORPUS[/CONFIG][:SPLIT]",
        help="a prepared corpus; may be given again, then means are over corpora",
    )
    add("--split", help="which recordings of it (default: test)")
    add_data_dir(parser)
    add("--out", type=Path, required=True, help="folder of the report, made or gone on with")
    add_gin_flags(
        parser,
        "settings, see configs/eval/; may be given again, later files win",
        "one setting, such as 'Evaluation.steps = 100'; may be given again; wins over files",
    )
    add_device(parser)

    add_process_flags(parser, "several processes (one per host), which share the songs")
    return parser.parse_args(arguments)


def configure(flags: argparse.Namespace) -> Evaluation:
    """Defaults, then gin files, then bindings, then flags."""
    # The files in configs/paper/ also hold settings of training.
    gin_files.parse(
        (Evaluation, Row, *RUN_SETTINGS), flags.gin_file, flags.gin_bindings, folder=str(CONFIGS)
    )
    datasets = tuple(flags.dataset) if flags.dataset else None
    return gin_files.filled(Evaluation, datasets=datasets, split=flags.split)
