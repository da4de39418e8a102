"""Dataclasses to JSON and back, and JSON that is damaged in many ways."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest

from spectrodiff.core.errors import ReportError
from spectrodiff.evaluation.dataclass_json import (
    from_json,
    json_name,
    read_dataclass,
    to_json,
    write_dataclass,
)


@dataclass(frozen=True)
class Part:
    name: str = field(metadata=json_name("part"))
    side: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Whole:
    count: int
    share: float
    exact: bool
    parts: Sequence[Part]
    by_name: Mapping[str, Part]
    sizes: Mapping[str, Sequence[float | None]]
    note: str = "none"
    limit: float | None = None
    anything: Mapping[str, object] = field(default_factory=dict)


JSON = {
    "count": 3,
    "share": 0.5,
    "exact": True,
    "parts": [{"part": "a", "side": "left"}, {"part": "b", "side": "right"}],
    "by_name": {"x": {"part": "c", "side": "left"}},
    "sizes": {"y": [1.0, None]},
    "note": "some",
    "limit": 2.0,
    "anything": {"z": [1, {"deep": None}]},
}
WHOLE = Whole(
    3,
    0.5,
    True,
    (Part("a"), Part("b", "right")),
    {"x": Part("c")},
    {"y": (1.0, None)},
    "some",
    2.0,
    {"z": [1, {"deep": None}]},
)


def test_there_and_back():
    assert to_json(WHOLE) == JSON
    assert from_json(Whole, json.loads(json.dumps(JSON)), "a.json") == WHOLE
    assert from_json(dict[str, Part], {"x": {"part": "c"}}, "a.json") == {"x": Part("c")}


def test_absent_entries_take_defaults():
    optional = {"note": None, "limit": float("nan"), "anything": None, "unknown": 1}
    found = from_json(Whole, JSON | optional | {"parts": None, "sizes": None}, "a.json")
    assert (found.note, found.limit, found.anything) == ("none", None, {})
    assert (found.parts, found.sizes) == ((), {})
    # Whole numbers are numbers.
    assert from_json(Whole, JSON | {"share": 2}, "a.json").share == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": -1}, r"a\.json\.count: expected a whole number >= 0, got -1"),
        ({"count": 1.5}, r"count: expected a whole number >= 0, got 1\.5"),
        ({"count": True}, r"count: expected a whole number >= 0, got True"),
        ({"count": None}, r"count: expected a whole number >= 0, got None"),
        ({"share": "x"}, r"share: expected a number, got a text"),
        ({"share": False}, r"share: expected a number, got False"),
        ({"share": float("inf")}, r"share: expected a number, got inf"),
        ({"share": 10**400}, r"share: expected a number, got 1000"),
        ({"exact": 1}, r"exact: expected true or false, got 1"),
        ({"note": []}, r"note: expected a text, got a list"),
        ({"parts": {}}, r"parts: expected a list, got an object"),
        ({"parts": [1]}, r"parts\[0\]: expected an object, got 1"),
        ({"parts": [{}]}, r"parts\[0\]\.part: expected a text, got nothing"),
        ({"parts": [None]}, r"parts\[0\]\.part: expected a text, got nothing"),
        ({"by_name": {"x": {"part": "a", "side": []}}}, r"by_name\.x\.side: expected left or righ"),
        ({"by_name": "x"}, r"by_name: expected an object, got a text"),
        ({"sizes": {"y": [1, "2"]}}, r"sizes\.y\[1\]: expected a number, got a text"),
        ({"limit": {}}, r"limit: expected a number, got an object"),
    ],
)
def test_entries_of_another_type_are_named(change, message):
    with pytest.raises(ReportError, match=message):
        from_json(Whole, JSON | change, "a.json")


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_something_else_than_an_object_is_refused(value):
    with pytest.raises(ReportError, match=r"a\.json"):
        from_json(Whole, value, "a.json")


def test_files(tmp_path):
    path = tmp_path / "a.json"
    write_dataclass(path, WHOLE, 7)
    assert json.loads(path.read_text()) == {"format": 7, **JSON}
    assert read_dataclass(Whole, path, 7, "a whole") == WHOLE
    with pytest.raises(ReportError, match=r"a\.json: format: expected 8, got 7"):
        read_dataclass(Whole, path, 8, "a whole")
    with pytest.raises(ReportError, match=r"b\.json: expected a whole, got no such file"):
        read_dataclass(Whole, tmp_path / "b.json", 7, "a whole")
    for content in (b"", b"{", b"\xff", b"[" * 100_000, b'{"count": 1' + b"0" * 5000 + b"}"):
        path.write_bytes(content)
        with pytest.raises(ReportError, match=r"a\.json: expected a whole, got"):
            read_dataclass(Whole, path, 7, "a whole")


def test_results_are_read_without_jax():
    code = "import sys; import spectrodiff.evaluation.results, spectrodiff.report; "
    code += "sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
