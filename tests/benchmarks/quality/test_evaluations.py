"""The curve of quality against evaluations, with made-up measures."""

import dataclasses
import json
import math

import pytest

from spectrodiff.core.errors import CheckpointError, ConfigError, ReportError
from spectrodiff.diffusion.sampling import Sampling

SAMPLINGS = {
    "mini": Sampling("dpmpp", 8, 1.5),
    "out/four": Sampling("ddim", 4, 1.0),
    "out/two": Sampling("ddim", 2, 1.0),
    "old/two": Sampling("ddim", 2, 1.0),
}


def measure(value, better="higher", items=(), statistic="mean"):
    from quality.points import Measure

    rows = tuple((item,) for item in items)
    return Measure("music", "f1", "", better, value, statistic if items else None, rows)


@pytest.mark.parametrize(
    ("better", "value", "passes"),
    [
        ("higher", 0.98, True),
        ("higher", 0.979, False),
        ("higher", 1.5, True),
        ("lower", 1.02, True),
        ("lower", 1.021, False),
        ("lower", 0.5, True),
        # The soundfont has 3: closer is better, on either side.
        ("reference", 2.5, True),
        ("reference", 5.0, True),
        ("reference", 5.1, False),
        ("reference", 0.9, False),
        ("reference", 0.98, True),
    ],
)
def test_a_single_number_passes_within_two_percent_or_if_better(better, value, passes):
    from quality.verdicts import judge

    verdict = judge(measure(value, better), measure(1.0, better), 3.0)
    assert verdict.passes == passes
    assert verdict.interval is None
    assert verdict.relative == pytest.approx(value - 1)


def test_relative_differences_of_negative_values():
    from quality.verdicts import judge

    verdict = judge(measure(-12.0, "reference"), measure(-10.0, "reference"), -9.0)
    assert verdict.relative == pytest.approx(-0.2)
    assert not verdict.passes_alone
    assert judge(measure(0.0), measure(0.0), None).relative is None


@pytest.mark.parametrize(
    ("ours", "low", "high", "passes"),
    [
        ((0.5, 1.25), -0.5, 0.25, True),  # contains 0
        ((0.5, 0.75), -0.5, -0.25, False),
        ((1.25, 1.5), 0.25, 0.5, True),  # better
        ((0.5, 1.0), -0.5, 0.0, True),  # ends at 0
    ],
)
def test_a_column_passes_if_the_paired_interval_contains_zero(ours, low, high, passes):
    from quality.verdicts import judge

    reference = measure(1.0, items=(1.0, 1.0))
    verdict = judge(measure(sum(ours) / 2, items=ours), reference, None)
    assert (verdict.interval.low, verdict.interval.high) == (low, high)
    assert verdict.passes == passes
    assert verdict.passes_alone == (low > 0)


def test_what_only_one_side_could_measure_fails():
    from quality.verdicts import judge

    assert judge(measure(None), measure(None), None).passes
    assert not judge(measure(None), measure(1.0), None).passes
    assert not judge(measure(1.0), measure(None), None).passes
    assert not judge(None, measure(1.0), None).passes


def made_curve():
    from quality.points import Curve, Measure, Point

    def point(role, name, key, steps, guidance, f1, peak):
        evaluations = steps and steps * (1 if guidance == 1 else 2)
        sampler = steps and "ddim"
        measures = (
            Measure("music", "f1", "", "higher", sum(f1) / 2, "mean", tuple((x,) for x in f1)),
            Measure("peak", "peak", "dB", "reference", peak),
        )
        return Point(role, name, key, sampler, steps, guidance, evaluations, measures)

    return Curve(
        "short",
        0,
        0.8,
        "ten",
        (
            point("teacher", "mini", "one", 1, 1.5, (0.25, 0.5), 2.0),
            point("teacher", "mini", "ten", 10, 1.5, (0.5, 0.5), 1.0),
            point("student", "two", "two", 2, 1.0, (0.25, 0.75), None),
            point("soundfont", "FluidR3", "sf", None, None, (1.0, 1.0), 0.9),
        ),
    )


def test_table():
    from quality.tables import curve_table

    text = curve_table(made_curve())
    rows = [
        "| mini, 1 step, guidance 1.5 | 2 | 1 of 2 | 0 of 2 |",
        "| two, 2 steps | 2 | 1 of 2 | 1 of 2 |",
        "| music | f1 | 0.375 (-25.0 %) | 0.500 | 0.500 (+0.0 %) | 1.000 |",
        "| peak | peak (dB) | 2.000 (+100.0 %) ✗ | 1.000 | – ✗ | 0.900 |",
        "| music | f1 | 2 | -0.125 (-0.250 to +0.000) | +0.000 (-0.250 to +0.250) |",
        "| peak | peak (dB) | – | +1.000 ✗ | – |",
    ]
    found = [line for line in text.splitlines() if line in rows]
    assert found == rows
    assert "Reference: mini, 10 steps, guidance 1.5 (20 evaluations per segment)" in text
    assert "without an interval: peak." in text


def test_results_are_read_as_written(tmp_path):
    from quality.points import Curve

    curve, path = made_curve(), tmp_path / "results.json"
    curve.write(path)
    assert Curve.read(path) == curve
    stored = json.loads(path.read_text())
    stored["points"][0]["measures"][0]["better"] = "more"
    path.write_text(json.dumps(stored))
    with pytest.raises(ReportError, match=r"points\[0\].measures\[0\].better"):
        Curve.read(path)
    with pytest.raises(ReportError, match="the key of a point of the teacher"):
        _ = dataclasses.replace(curve, reference="gone").reference_point


def test_values_that_are_not_finite_are_stored_as_missing():
    from listening.measures import Value
    from quality.points import Measure

    value = Value("a", "b", "dB", math.nan, "lower", "mean", ((math.inf,), (1.0,)))
    assert Measure.of(value) == Measure("a", "b", "dB", "lower", None, "mean", ((None,), (1.0,)))


class MadeUpWorkshop:
    """Points whose onset F1 is 1 - 1 / evaluations, without rendering."""

    measured: list[str]
    stop_at: int | None

    def __init__(self, form, **settings):
        self.form = form

    def sampling(self, name):
        if name not in SAMPLINGS:
            raise CheckpointError(name, "a model", "none")
        return SAMPLINGS[name]

    def plan_model(self, role, name, label, sampling, seed):
        from quality.points import Point, point_key

        count = sampling.evaluations
        settings = {"model": name, "seed": seed, **dataclasses.asdict(sampling)}
        key = point_key({**settings, "form": self.form.name})
        settings = sampling.sampler, sampling.steps, sampling.guidance, count
        return self._planned(Point(role, label, key, *settings, ()), 1 - 1 / count)

    def plan_baselines(self, teacher):
        from quality.points import Point

        return [
            self._planned(Point(role, name, name, None, None, None, None, ()), 1.0)
            for role, name in (("soundfont", "FluidR3"), ("inverter", "plain"))
        ]

    def _planned(self, point, f1):
        from listening.measures import Value
        from quality.workshop import Planned

        def values():
            if len(self.measured) == type(self).stop_at:
                raise KeyboardInterrupt
            self.measured.append(point.title)
            items = ((f1 - 0.1,), (f1 + 0.1,))
            return [Value("held back", "onset F1", "", f1, "higher", "mean", items)]

        return Planned(point, values)


@pytest.fixture
def measured(monkeypatch):
    """Replaces the workshop; returns the titles of measured points."""
    import evaluations

    monkeypatch.setattr(evaluations, "Workshop", MadeUpWorkshop)
    monkeypatch.setattr(evaluations, "enable_compilation_cache", lambda: None)
    MadeUpWorkshop.measured, MadeUpWorkshop.stop_at = [], None
    return MadeUpWorkshop.measured


def run(out, *more):
    import evaluations

    evaluations.main(["--out", str(out), "--quick", "--teacher_steps", "1", "4", *more])


BASE = [
    "mini, 1 step, guidance 1.5",
    "mini, 4 steps, guidance 1.5",
    "mini, 10 steps, guidance 1.5",
    "mini, 10 steps, guidance 1.5, other seed",
]


def test_another_student_costs_only_its_own_points(tmp_path, measured, capsys):
    from quality.points import Curve

    run(tmp_path)
    assert measured == [*BASE, "FluidR3", "plain"]
    del measured[:]
    run(tmp_path, "--students", "out/four", "out/two", "--student_steps", "1")
    assert measured == ["four, 1 step", "four, 4 steps", "two, 1 step", "two, 2 steps"]
    del measured[:]
    # The same run again measures nothing, but points of another seed are others.
    run(tmp_path, "--students", "out/two")
    assert not measured
    curve = Curve.read(tmp_path / "results.json")
    assert [p.title for p in curve.points] == [*BASE, "two, 2 steps", "FluidR3", "plain"]
    assert [p.evaluations for p in curve.points] == [2, 8, 20, 20, 2, None, None]
    assert curve.reference_point.title == BASE[2]
    run(tmp_path, "--seed", "1")
    # Seed 1 of the reference is known: it was the other seed.
    assert measured == [BASE[0], BASE[1], BASE[3]]
    capsys.readouterr()
    run(tmp_path, "--plot_only")
    assert capsys.readouterr().out == (tmp_path / "table.md").read_text()
    assert (tmp_path / "evaluations.png").read_bytes()[1:4] == b"PNG"
    assert "<svg" in (tmp_path / "evaluations.svg").read_text()


def test_a_stopped_run_is_resumed(tmp_path, measured):
    MadeUpWorkshop.stop_at = 2
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    assert measured == BASE[:2]
    MadeUpWorkshop.stop_at = None
    run(tmp_path)
    assert measured == [*BASE, "FluidR3", "plain"]


def test_bad_input_is_named_before_anything_is_measured(tmp_path, measured):
    with pytest.raises(CheckpointError, match="out/none"):
        run(tmp_path, "--students", "out/none")
    with pytest.raises(ConfigError, match="steps"):
        run(tmp_path, "--reference_steps", "0")
    with pytest.raises(ReportError, match=r"results\.json"):
        run(tmp_path, "--plot_only")
    assert not measured
    run(tmp_path)
    damaged = tmp_path / "points" / "FluidR3.json"
    damaged.write_text("{}")
    with pytest.raises(ReportError, match=r"FluidR3\.json"):
        run(tmp_path)


def test_late_guidance_costs_one_evaluation_in_the_other_steps(tmp_path, measured):
    from evaluations import main
    from quality.points import Curve

    main(["--late_guidance", "3:1", "4:2", "--teacher_steps", "4", "--out", str(tmp_path)])
    late = [point for point in Curve.read(tmp_path / "results.json").points if point.role == "late"]
    assert [(point.steps, point.evaluations) for point in late] == [(3, 4), (4, 6)]


@pytest.mark.parametrize("text", ["3", "3:3", "3:0", "a:1"])
def test_late_guidance_has_fewer_guided_steps_than_steps(text):
    from evaluations import parse_flags

    with pytest.raises(SystemExit):
        parse_flags(["--late_guidance", text])


def test_models_of_one_name_are_told_apart():
    from evaluations import short_names

    assert short_names(["mini", "out/two", "old/two", "out/four"]) == {
        "mini": "mini",
        "out/two": "out/two",
        "old/two": "old/two",
        "out/four": "four",
    }
