"""Errors about a corpus that is not there, and the verification of its archives."""

import dataclasses
import hashlib
import logging
import re
from pathlib import Path

import pytest

from spectrodiff.commands import program
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.corpora import maestro
from spectrodiff.data.corpora.releases import GUITARSET, MAESTRO, RELEASES

# Of the three bytes "abc", as in RFC 1321 and FIPS 180-2.
MD5 = "900150983cd24fb0d6963f7d28e17f72"
SHA256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def message(corpus, source, tmp_path, capsys):
    arguments = ["prepare", corpus, "--source", str(source), "--data_dir", str(tmp_path / "data")]
    assert program.run(program.main, arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert not (tmp_path / "data").exists()
    return line


@pytest.mark.parametrize("corpus", RELEASES)
def test_errors_tell_where_a_corpus_is_published(tmp_path, capsys, corpus):
    release, source = RELEASES[corpus], tmp_path / "none"
    line = message(corpus, source, tmp_path, capsys)
    assert line.startswith(f"error: {source}: expected an unpacked {release.title} release with ")
    for fact in (release.contents, release.page, release.size, release.license):
        assert fact in line
    assert line.endswith(", got no such file or folder")
    source.mkdir()
    assert message(corpus, source, tmp_path, capsys).endswith(", got an empty folder")
    for number in range(5):
        (source / f"{number}.txt").touch()
    line = message(corpus, source, tmp_path, capsys)
    assert re.search(r", got no \S.* in it, only 0.txt, 1.txt, 2.txt and 2 more$", line)


def test_what_is_missing_is_named_and_archives_are_to_be_unpacked(tmp_path):
    for name in ("annotation", "audio_mono-mic.zip", "audio_mono-pickup_mix.zip"):
        (tmp_path / name).mkdir()
    with pytest.raises(CorpusError) as caught:
        GUITARSET.require(tmp_path, ["annotation", "audio_mono-mic"])
    assert caught.value.got == (
        "no audio_mono-mic in it, only annotation, audio_mono-mic.zip, audio_mono-pickup_mix.zip; "
        "unpack audio_mono-mic.zip first"
    )
    GUITARSET.require(tmp_path, ["annotation"])


@pytest.mark.parametrize(("algorithm", "digest"), [("md5", MD5), ("sha256", SHA256)])
def test_an_archive_is_verified(tmp_path, capsys, monkeypatch, algorithm, digest):
    archive = tmp_path / "maestro-v3.0.0.zip"
    checksums = {archive.name: f"{algorithm}:{digest}"}
    monkeypatch.setattr(maestro, "MAESTRO", dataclasses.replace(MAESTRO, checksums=checksums))
    archive.write_bytes(b"abc")
    assert message("maestro", archive, tmp_path, capsys).endswith(
        f"got its complete archive ({algorithm} as published); unpack it, give the folder"
    )
    archive.write_bytes(b"abd")
    other = hashlib.new(algorithm, b"abd").hexdigest()
    assert message("maestro", archive, tmp_path, capsys).endswith(
        f"a damaged or incomplete archive ({algorithm} {other}, published is {digest})"
    )
    renamed = archive.rename(tmp_path / "maestro.zip")
    line = message("maestro", renamed, tmp_path, capsys)
    assert line.endswith("got a file; checksums are known of maestro-v3.0.0.zip")
    assert message("urmp", renamed, tmp_path, capsys).endswith("got a file")


def test_an_archive_larger_than_a_block(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    archive = tmp_path / "large.zip"
    with archive.open("wb") as file:
        file.truncate(40_000_000)
    digest = hashlib.sha256(bytes(40_000_000)).hexdigest()
    release = dataclasses.replace(MAESTRO, checksums={"large.zip": f"sha256:{digest}"})
    with pytest.raises(CorpusError, match="got its complete archive"):
        release.require(archive)
    assert caplog.messages[-1] == "checking large.zip: 40 of 40 megabytes"


def test_checksums_have_the_length_of_their_algorithm():
    for release in RELEASES.values():
        for checksum in release.checksums.values():
            algorithm, _, digest = checksum.partition(":")
            assert len(bytes.fromhex(digest)) == {"md5": 16, "sha256": 32}[algorithm]


def test_the_documentation_has_the_same_facts():
    page = (Path(__file__).parents[3] / "docs/data.md").read_text()
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    for corpus, release in RELEASES.items():
        (row,) = [row for row in rows if f"`{corpus}`" in row and release.license in row]
        for fact in (*release.page.split(" and "), *release.size.split(", ")):
            assert fact in row
        assert ("none" in row) == (not release.checksums)
