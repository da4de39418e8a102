"""Advisories on pinned packages: made-up entries in OSV's format, with answers worked by hand."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def span(*events, kind="ECOSYSTEM"):
    return {"type": kind, "events": [dict([event]) for event in events]}


def entry(number, *parts, **more):
    return {"id": f"MADE-{number}", "summary": f"Trouble {number}.", "affected": parts, **more}


def part(name, *ranges, versions=(), ecosystem="PyPI"):
    package = {"name": name, "ecosystem": ecosystem}
    return {"package": package, "ranges": ranges, "versions": versions}


def check(folder, entries, pins, *words):
    """Returns the status and the lines of a check of pins against advisories."""
    database = folder / "database"
    database.mkdir(exist_ok=True)
    for each in entries:
        (database / f"{each['id']}.json").write_text(json.dumps(each))
    (folder / "pins.txt").write_text("".join(f"{pin}\n" for pin in pins))
    return ask(database, "--requirements", folder / "pins.txt", *words)


def ask(*words):
    command = [sys.executable, ROOT / ".ci" / "advisories.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_ranges_by_hand(tmp_path):
    two = span(("introduced", "0"), ("fixed", "1.5"), ("introduced", "2.0"), ("fixed", "2.2"))
    entries = [
        entry(1, part("fixed", two)),
        entry(2, part("last", span(("introduced", "1.0"), ("last_affected", "1.4")))),
        entry(3, part("only", span(("introduced", "1.0"), ("last_affected", "1.0")))),
        entry(4, part("epoch", span(("introduced", "1!0")))),
        entry(5, part("listed", versions=["1.0.0", "no version"])),
        entry(6, part("commits", span(("introduced", "0"), kind="GIT"))),
        entry(7, part("unread", span(("introduced", "0"), ("fixed", "no version")))),
        entry(8, part("unordered", span(("fixed", "2"), ("introduced", "1")))),
        entry(9, part("again", span(("introduced", "0"), ("fixed", "3"), ("introduced", "3")))),
        entry(10, part("limit", span(("introduced", "1"), ("limit", "2")))),
    ]
    # PEP 440: 1.10 comes after 1.9, a pre-release before its release, a post-release after it.
    hit = ["fixed==0.0.dev1", "fixed==1.4", "fixed==1.5rc1", "fixed==2.0", "fixed==2.1.post3",
           "last==1.0", "last==1.4", "last==1.4+local", "only==1", "epoch==1!2", "listed==1.0",
           "unread==9", "unordered==1.5", "again==3", "again==4", "limit==1.9"]  # fmt: skip
    missed = ["fixed==1.5", "fixed==1.10", "fixed==2.0b1", "fixed==2.2", "last==0.9",
              "last==1.4.1", "last==1.10", "only==1.0.1", "only==0.9", "epoch==2024.1",
              "listed==1.0.1", "commits==1", "unordered==2", "limit==2"]  # fmt: skip
    status, lines = check(tmp_path, entries, hit + missed)
    assert status == 1
    told = {"==".join(line.partition(":")[0].split()) for line in lines[:-1]}
    assert told == set(hit)
    expected = f"{len(hit)} of {len(hit + missed)} packages are affected; 10 advisories name them"
    assert lines[-1] == expected


def test_what_is_printed(tmp_path):
    mended = part("Some_Package", span(("introduced", "0"), ("fixed", "1.5")))
    # A line that was mended in 1.9.2, after another one in 1.5.
    twice = part(
        "Some_Package",
        span(("introduced", "0"), ("fixed", "1.5")),
        span(("introduced", "1.6"), ("fixed", "1.9.2")),
    )
    entries = [
        entry(1, twice, aliases=["CVE-0-1"], summary="Trouble 1.\x1b[2J"),
        # The same under another id, with another fix.
        entry(2, part("some.package", span(("introduced", "0"), ("fixed", "1.10"))),
              aliases=["CVE-0-1"], summary=None),
        entry(3, twice, withdrawn="2020-01-01T00:00:00Z"),
        entry(4, part("some-package", span(("introduced", "0")), ecosystem="npm")),
        entry(5, part("other", span(("introduced", "0")))),
        entry(6, mended),
    ]  # fmt: skip
    pins = ["some-package==1.9.1 ; python_version < '3' \\", "    --hash=sha256:00", "fine==1"]
    counted = "of 2 packages are affected; 3 advisories name them"
    assert check(tmp_path, entries, pins) == (1, [
        "some-package 1.9.1: CVE-0-1 = MADE-1 = MADE-2; fixed in 1.9.2, 1.10. Trouble 1. [2J",
        f"1 {counted}",
    ])  # fmt: skip
    assert check(tmp_path, entries, pins, "--ignore", "CVE-0-1") == (0, [f"0 {counted}"])


def test_zip_of_the_database_and_pins_of_this_checkout(tmp_path):
    entries = [
        entry(1, part("NumPy", span(("introduced", "0"))), part("JAX", span(("introduced", "99")))),
        entry(2, part("unheard-of", span(("introduced", "0")))),
    ]
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for each in entries:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    status, lines = ask(tmp_path / "all.zip")
    assert status == 1
    assert {line.split()[0] for line in lines[:-1]} == {"numpy"}
    assert lines[0].endswith(": MADE-1; no fix is known. Trouble 1.")
    status, lines = ask(tmp_path / "all.zip", "--installed")
    assert status == 1
    assert [line.split()[0] for line in lines[:-1]] == ["numpy"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a.json", "{", "expected JSON"), ("a.json", "[]", "expected an OSV"), ("a.txt", "", "none")],
)
def test_damaged_databases(name, text, said, tmp_path):
    (tmp_path / "database").mkdir()
    (tmp_path / "database" / name).write_text(text)
    status, lines = check(tmp_path, [], ["some==1"])
    assert status == 2
    assert said in lines[0]
    assert str(tmp_path / "database") in lines[0]


def test_missing_files(tmp_path):
    status, (line,) = ask(tmp_path / "all.zip")
    assert (status, "all.zip" in line) == (2, True)
    status, (line,) = check(tmp_path, [entry(1)], ["numpy>=2"])
    assert (status, "expected pins" in line) == (2, True)
