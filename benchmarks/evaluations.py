"""Measures quality against network evaluations, of a teacher and its distilled students.

    python benchmarks/evaluations.py --teacher runs/mini --students runs/student4 mini \
        --out out/evaluations

renders the songs of listen.py with the teacher at several numbers of steps (with --late_guidance
also guided in the last of them only), and with each student at its own settings, and compares every
column of listen.py with the reference: the teacher at --reference_steps. A column passes if it is
within 2 % of the reference, better, or if the paired 95 % bootstrap interval of the difference
contains 0. The reference is also measured with another seed, which shows how many columns fail by
chance. Columns of the inverter alone (steady tones) do not depend on sampling and are left out.

Writes table.md, results.json, evaluations.svg and evaluations.png to OUT. Measured points are kept
in OUT/points and features in OUT/cache, under names that depend on the model and all settings: the
same command resumes a stopped run, and another student costs only its own points. --plot_only
writes the table and the pictures again from results.json.

Needs FluidSynth, the soundfont TimGM6mb (see listen.py) and basic-pitch.
"""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from listening.songs import FORMS
from quality.plots import plot_curve
from quality.points import Curve, Measure, Point, PointStore
from quality.tables import curve_table
from quality.workshop import Planned, Workshop

from spectrodiff.commands import program
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.runtime import enable_compilation_cache

HELD_BACK = Path(__file__).parents[1] / "examples" / "held_back" / "test"
SECOND_SOUNDFONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"  # where Debian installs it
TEACHER_STEPS = (1, 2, 3, 4, 5, 8, 10)
REFERENCE_STEPS = 10

logger = logging.getLogger("spectrodiff.evaluations")


def main(arguments: Sequence[str]) -> None:
    flags = parse_flags(arguments)
    check_writable(flags.out)
    results = flags.out / "results.json"
    if flags.plot_only:
        curve = Curve.read(results)
    else:
        enable_compilation_cache()
        curve = measure_curve(flags)
        curve.write(results)
    text = curve_table(curve)
    with atomic_file(flags.out / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    for suffix in ("svg", "png"):
        plot_curve(curve, flags.out / f"evaluations.{suffix}")
    print(text, end="")


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--teacher", default="mini", help="model as spectrodiff.load takes it")
    add("--students", nargs="*", default=[], help="models distilled from the teacher")
    add("--teacher_steps", nargs="*", type=int, default=TEACHER_STEPS, help="numbers of steps")
    add(
        "--late_guidance",
        nargs="*",
        type=late_guidance,
        default=[],
        metavar="STEPS:GUIDED",
        help="the teacher at STEPS steps, of which only the last GUIDED are guided",
    )
    add("--student_steps", nargs="*", type=int, default=[], help="besides each student's own")
    add("--reference_steps", type=int, default=REFERENCE_STEPS, help="steps of the reference")
    add("--inverter", help="inverter of all models instead of their own")
    add("--form", choices=FORMS, default="short", help="amount of music")
    add("--quick", action="store_true", help="two held-back songs, as --form quick")
    add("--seed", type=int, default=0, help="seed of sampling")
    add("--batch_size", type=int, default=8, help="number of songs rendered in one batch")
    add("--gain", type=float, default=0.8, help="gain of both soundfonts")
    add("--second_soundfont", default=SECOND_SOUNDFONT, help="soundfont without trained models")
    add("--held_back", type=Path, default=HELD_BACK, help="folder of MIDI files")
    add("--out", type=Path, default=Path("out/evaluations"), help="folder of results")
    add("--plot_only", action="store_true", help="only write table and pictures again")
    flags = parser.parse_args(arguments)
    if flags.quick:
        flags.form = "quick"
    return flags


def late_guidance(text: str) -> tuple[int, int]:
    """Parses "STEPS:GUIDED"."""
    steps, _, guided = text.partition(":")
    if not (steps.isdecimal() and guided.isdecimal() and 1 <= int(guided) < int(steps)):
        raise argparse.ArgumentTypeError(f"expected STEPS:GUIDED such as 3:1, got {text!r}")
    return int(steps), int(guided)


def measure_curve(flags: argparse.Namespace) -> Curve:
    """Measures all points that are not stored yet."""
    workshop = Workshop(
        FORMS[flags.form],
        held_back=flags.held_back,
        cache=flags.out / "cache",
        inverter=flags.inverter,
        batch_size=flags.batch_size,
        gain=flags.gain,
        second_soundfont=flags.second_soundfont,
    )
    # Opens all models first, so that bad names fail before anything is measured.
    plans = plan(workshop, flags)
    store = PointStore(flags.out / "points")
    missing = sum(planned.point.key not in store for planned in plans)
    logger.info("%d points, %d of them to measure", len(plans), missing)
    points = [measured(planned, store, number, plans) for number, planned in enumerate(plans, 1)]
    reference = next(
        point
        for point in points
        if point.role == "teacher" and point.steps == flags.reference_steps
    )
    return Curve(flags.form, flags.seed, flags.gain, reference.key, points)


def plan(workshop: Workshop, flags: argparse.Namespace) -> list[Planned]:
    """Returns the points of a run in the order of the table, each once."""
    # Guided in all steps, also where the teacher's own settings guide a part of them.
    own = workshop.sampling(flags.teacher).but(guidance_times=(0.0, 1.0))
    labels = short_names([flags.teacher, *flags.students])
    teacher = labels[flags.teacher]
    steps = sorted({*flags.teacher_steps, flags.reference_steps})
    plans = [
        workshop.plan_model("teacher", flags.teacher, teacher, own.but(steps=n), flags.seed)
        for n in steps
    ]
    for n, guided in flags.late_guidance:
        late = own.but(steps=n, guidance_times=(0.0, (guided + 0.5) / n))
        name = f"{teacher}, guided late"
        plans.append(workshop.plan_model("late", flags.teacher, name, late, flags.seed))
    reference = own.but(steps=flags.reference_steps)
    plans.append(workshop.plan_model("seed", flags.teacher, teacher, reference, flags.seed + 1))
    for student in dict.fromkeys(flags.students):
        sampling = workshop.sampling(student)
        for n in sorted({sampling.steps, *flags.student_steps}):
            changed = sampling.but(steps=n)
            plans.append(
                workshop.plan_model("student", student, labels[student], changed, flags.seed)
            )
    return [*plans, *workshop.plan_baselines(flags.teacher)]


def measured(planned: Planned, store: PointStore, number: int, plans: Sequence[Planned]) -> Point:
    """Returns a point with its measures, from the store if it is there."""
    point = planned.point
    if point.key in store:
        return replace(point, measures=store.read(point.key))
    logger.info("point %d of %d: %s", number, len(plans), point.title)
    point = replace(point, measures=tuple(map(Measure.of, planned.measure())))
    store.write(point)
    return point


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Returns the last part of each path, or the whole path where parts are the same."""
    last = {name: Path(name).name or name for name in names}
    counts = Counter(last.values())
    return {name: short if counts[short] == 1 else name for name, short in last.items()}


if __name__ == "__main__":
    sys.exit(program.run(main))
