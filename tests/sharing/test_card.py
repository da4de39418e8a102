"""Model cards: what they say of a known run, and that nothing in them acts as markup."""

import dataclasses
import re

import pytest
import yaml

from spectrodiff.core.errors import printable
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.evaluation.results import read_results
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.sharing.card import Card, Sample, write_card
from spectrodiff.sharing.origins import Origin
from tests.support.made_models import PORT_SIZES, made_model
from tests.support.made_up import HOSTILE, make_evaluation
from tests.support.page_parser import parse_markdown

MODEL = made_model(
    PORT_SIZES,
    prediction="v",
    tokenization=Tokenization(programs=(0, 73), drums=()),
    sampling=Sampling("dpmpp", 10, 1.5, guidance_times=(0.0, 0.45)),
)
ORIGIN = Origin(
    step=3000,
    settings={
        "Training": {"task": "denoise", "batch_size": 15, "seed": 7, "precision": "bfloat16"},
        "Optimization": {"optimizer": "muon", "learning_rate": 5e-4, "schedule": "cosine"},
        "Data": {"corpora": ["maestro/v3", "pairs/own", "/home/me/secret/folder"]},
    },
    started_from="mini",
    devices=["H200", "H200"],
    loss=0.12345,
    gin={},
)


def front_and_body(text):
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_the_hub_reads():
    front, body = front_and_body(write_card(Card("A model", MODEL, "me/it", "cc-by-4.0")))
    assert front["license"] == "cc-by-4.0"
    assert front["library_name"] == "spectrodiff"
    assert front["pipeline_tag"] == "text-to-audio"
    assert "midi" in front["tags"]
    assert "# A model\n" in body
    front, body = front_and_body(write_card(Card("A model", MODEL)))
    assert "license" not in front
    assert "None was stated" in body


def rows(text):
    """Cells of all tables of two columns."""
    found = re.findall(r"^\| (.+?) \| (.+) \|$", text, re.MULTILINE)
    return {name.replace("\\", ""): value.replace("\\", "") for name, value in found}


def test_facts_of_the_model_and_its_run():
    text = write_card(Card("A model", MODEL, "me/it@v2", origin=ORIGIN, inverter="frame-rate"))
    table = rows(text)
    # 0.9, 0.8, ... down to 0.1 and 1: four times are at most 0.45, guided by two evaluations.
    assert table["sampling"].startswith("dpmpp, 10 steps, guidance 1.5: 14 evaluations")
    assert table["segment"] == "256 frames, 5.12 s"
    assert table["instruments (General MIDI, from 0)"].startswith("piano (0), flute (73); others")
    assert table["drums"] == "none"
    assert table["inverter to audio"] == "frame-rate"
    # 3000 * 15 * 5.12 s = 64 hours.
    assert table["steps"] == "3,000 of 15 segments, 64.0 hours of audio"
    assert table["optimizer"] == "muon, learning rate 0.0005 (cosine)"
    assert table["devices"] == "2 x H200"
    assert table["loss on evaluation examples"] == "0.1235"
    assert "sd.load('me/it@v2')" in text
    assert "--model me/it@v2 " in text


def test_segments_that_overlap():
    sampling = dataclasses.replace(MODEL.sampling, overlap=8)
    text = write_card(Card("A", dataclasses.replace(MODEL, sampling=sampling), "me/it"))
    assert rows(text)["sampling"].endswith(
        "evaluations of the network per segment; segments share 8 frames"
    )


def test_data_with_its_licenses():
    text = write_card(Card("A model", MODEL, origin=ORIGIN))
    assert re.search(
        r"^\| maestro/v3 \| train \| MAESTRO v3, .* \| CC BY-NC-SA 4.0 \|$", text, re.M
    )
    assert "| pairs/own | train | not published | not known to the library |" in text
    assert "| folder | train |" in text
    assert "secret" not in text
    assert "And what mini was trained on, the model that this one started from." in text
    assert "taught" not in text


def test_a_distilled_model_names_its_teacher():
    settings = {**ORIGIN.settings, "Distillation": {"teacher": "/home/me/secret/big"}}
    origin = dataclasses.replace(ORIGIN, settings=settings, started_from="")
    text = write_card(Card("A model", MODEL, origin=origin))
    assert rows(text)["teacher"] == "big"
    assert "And what big was trained on, the model that this one was taught by." in text
    assert "secret" not in text


def test_the_table_of_an_evaluation(tmp_path):
    make_evaluation(tmp_path, {"maestro/v3:test": ["a", "b"]}, model="/home/me/secret/run")
    text = write_card(Card("A model", MODEL, results=read_results(tmp_path)))
    assert "- model: run\n" in text
    assert "maestro/v3, test (2 songs, 0:06)" in text
    assert "| VGGish rec.\xa0↓ | 3.20 | 2.10 | 0.00 |" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    "hostile", [*HOSTILE, "a | b ~~c~~ &lt;d&gt;", "[x](y)\n# z", "`c`\x1b[31m"]
)
def test_nothing_is_markup(hostile):
    settings = {"Training": {"task": hostile}, "Data": {"corpora": [hostile]}}
    origin = dataclasses.replace(ORIGIN, settings=settings, started_from=hostile, devices=[hostile])
    sample = Sample(hostile, "samples/1_a b.flac", "samples/1_a b.png", 3.2)
    card = Card(hostile, MODEL, "", hostile, origin, hostile, samples=[sample], gin=hostile)
    front, body = front_and_body(write_card(card))
    assert front["license"] == hostile
    assert "\x1b" not in body
    # Outside of code, marks are escaped, and lines are those of the card.
    plain = re.sub(r"^    .*$", "", body, flags=re.MULTILINE)
    assert "<script>" not in plain.replace("\\<", "")
    assert not re.search(r"(?<!\\)\[x\]\(y\)", plain)
    assert "\n# z" not in plain
    for line in plain.splitlines():
        if line.startswith("| task") or line.startswith("| devices"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
    assert "](samples/1_a%20b.flac)" in body
    document = parse_markdown(body)
    text = {"h1", "h2", "p", "ul", "li", "pre", "code", "details", "summary", "a", "img"}
    assert document.names() <= text | {"table", "thead", "tbody", "tr", "th", "td"}
    _, listen = (link.attributes["href"] for link in document.all("a"))
    assert listen == "samples/1_a%20b.flac"
    assert [image.attributes["src"] for image in document.all("img")] == ["samples/1_a%20b.png"]
    [title] = document.all("h1")
    assert title.text.split() == printable(hostile).split()


def test_folders_with_spaces_are_left_out_of_the_scores(tmp_path):
    folder = tmp_path / "scores"
    make_evaluation(folder, {"maestro/v3:test": ["a"]}, model="/home/joe smith/Client Acme/run")
    results = read_results(folder)
    inverter = "C:/Users/joe smith/Client Acme/inv.onnx"
    rows = [dataclasses.replace(row, title=f"/home/joe/my {row.name}") for row in results.rows]
    settings = {**results.settings, "inverter": inverter}
    results = dataclasses.replace(results, settings=settings, rows=rows)
    text = write_card(Card("A model", MODEL, results=results))
    assert "- model: run\n" in text
    assert "inverter inv.onnx" in text
    assert re.search(r"^\| .*my ", text, re.MULTILINE)
    for secret in ("joe", "smith", "Client", "Acme"):
        assert secret not in text


def test_bytes_that_are_not_utf_8():
    sample = Sample("a\udcff", "samples/1.flac", "samples/1.png", 3.2)
    text = write_card(Card("b\udcff", MODEL, samples=[sample]))
    assert "# b\\\\udcff\n" in text
    text.encode("utf-8")
