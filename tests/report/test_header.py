"""Head of a report, looks of its rows, and explanations of its columns."""

import pytest

from spectrodiff.evaluation.columns import Column
from spectrodiff.evaluation.results import ResultRow, Results
from spectrodiff.report import explanations, header
from spectrodiff.report.rows import main_row, row_styles


def results(listed, **settings):
    return Results(model="mini", rows=[ResultRow(*row) for row in listed], settings=settings)


def test_rows_that_were_made_alike_are_told_once():
    rows = [
        {"name": "raw", "source": "raw"},
        {"name": "encoded", "source": "encoded", "inverter": "griffin-lim"},
        {"name": "other", "source": "soundfont", "soundfont": None},
        {"name": "third", "source": "soundfont", "soundfont": "fonts/third.sf2"},
        {"name": "model", "source": "model", "sampler": "ddpm", "steps": 1000, "seed": None},
        {"name": "again", "source": "model", "sampler": "ddpm", "steps": 1000, "seed": None},
        {"name": "few", "source": "model", "guidance": 3.0, "seed": 0, "inverter": "a.onnx"},
    ]
    found = header.how_rows_were_made(
        results(
            [(row["name"], row["name"].title(), row["source"]) for row in rows],
            sampler="dpmpp",
            steps=20,
            guidance=1.5,
            seed=7,
            inverter=None,
            rows=rows,
        )
    )
    assert found == [
        ("Encoded", "inverter griffin-lim"),
        ("Other", "soundfont TimGM6mb.sf2"),
        ("Third", "soundfont third.sf2"),
        ("Model · Again", "ddpm, 1000 steps, guidance 1.5, seed 7, the model's inverter"),
        ("Few", "dpmpp, 20 steps, guidance 3.0, seed 0, inverter a.onnx"),
    ]


def test_rows_without_context_and_of_another_variance_are_not_alike():
    rows = [
        {"name": "model"},
        {"name": "blind", "mask_context": True},
        {"name": "large", "variance": "large"},
        {"name": "small", "variance": "small"},
        {"name": "few", "sampler": "dpmpp", "variance": "small"},
    ]
    listed = [(row["name"], row["name"].title(), "model") for row in rows]
    found = header.how_rows_were_made(
        results(listed, sampler="ddpm", variance="large", mask_context=False, rows=rows)
    )
    assert found == [
        ("Model · Large", "ddpm, the model's inverter"),
        ("Blind", "ddpm, without context, the model's inverter"),
        ("Small", "ddpm, variance small, the model's inverter"),
        ("Few", "dpmpp, the model's inverter"),
    ]


def test_steps_and_guidance_that_are_not_the_usual_ones():
    usual = {"spacing": "time", "times": None, "start": 1.0, "context_guidance": None}
    rows = [
        {"name": "usual", **usual, "guidance_times": [0.0, 1.0]},
        {"name": "part", "guidance_times": [0.2, 0.8], "context_guidance": 2.0, "overlap": 8},
        {"name": "late", "spacing": "logsnr", "start": 0.96},
        # These two have no effect beside times.
        {"name": "times", "spacing": "logsnr", "start": 0.96, "times": [0.9, 0.25]},
    ]
    listed = [(row["name"], row["name"].title(), "model") for row in rows]
    found = header.how_rows_were_made(results(listed, steps=2, rows=rows))
    assert found == [
        ("Usual", "2 steps, the model's inverter"),
        (
            "Part",
            "2 steps, guided at times 0.2 to 0.8, guidance of the context 2.0, "
            "overlap of 8 frames, the model's inverter",
        ),
        ("Late", "2 steps, equal in log-SNR, from time 0.96, the model's inverter"),
        ("Times", "2 steps, at times 0.9, 0.25, the model's inverter"),
    ]


def test_older_and_empty_settings_tell_what_they_know():
    rows = [("model", "Model"), ("raw", "Raw")]
    assert header.how_rows_were_made(results(rows)) == []
    assert header.how_rows_were_made(results(rows, steps=4)) == [
        ("Model", "4 steps, the model's inverter")
    ]
    assert header.how_rows_were_made(results(rows, steps=4, rows="damaged")) == [
        ("Model", "4 steps, the model's inverter")
    ]
    assert header.protocol(results(rows)) == header.protocol(results(rows, protocol=None)) == ""
    assert header.protocol(results(rows, protocol="aligned")) == "aligned"


def test_references_are_grey_and_models_have_the_palette():
    rows = [
        ResultRow("raw", "Soundfont", "raw"),
        ResultRow("timgm", "Another soundfont", "soundfont"),
        ResultRow("model", "Model", "model"),
        ResultRow("few", "Few steps", "model"),
        ResultRow("encoded_griffin_lim", "An older file"),
    ]
    assert [style.css_class for style in row_styles(rows)] == [
        "reference-0",
        "reference-1",
        "row-0",
        "row-1",
        "reference-2",
    ]
    many = row_styles([ResultRow(f"model {k}", "") for k in range(12)])
    many += row_styles([ResultRow(f"raw {k}", "", "raw") for k in range(12)])
    assert len({(style.css_class, style.shape, style.reference) for style in many}) == 24
    assert main_row(rows).name == "model"
    assert main_row(rows[:2]).name == "raw"
    assert main_row([]) is None


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("log_mel_l1", "log-mel features"),
        ("vggish_reconstruction", "mean over frames"),
        ("clap_music_frechet", "Frechet distance (FAD)"),
        ("log_mel_statistics_frechet", "without weights"),
        ("transcription_f1_full", "program agree."),
        ("transcription_f1_full_drums", "program agree. Drums alone."),
        ("transcription_f1_midi_class_nondrums", "family of instruments agree. Without drums."),
        ("onset_offset_f1", "onset and offset agree"),
        ("real_time", "seconds of audio per second"),
    ],
)
def test_columns_are_explained(column, words):
    assert words in explanations.explain(column)


def test_columns_of_one_meaning_are_explained_together():
    assert explanations.explain("unheard_of") == ""
    columns = [
        Column("vggish_frechet", "VGGish FAD", "lower"),
        Column("unheard_of", "?", "lower"),
        Column("trill_frechet", "TRILL FAD", "lower"),
    ]
    [(titles, text)] = explanations.definitions(columns)
    assert titles == "VGGish FAD, TRILL FAD"
    assert text == explanations.explain("trill_frechet")
