"""URLs in place of paths: refused by every command, in every argument, before anything else."""

import importlib

import pytest

from spectrodiff.commands import program
from spectrodiff.commands.shared.parser import Parser


class Stopped(Exception):
    """Stops a command when it parses its command line."""


def parsers(monkeypatch):
    """Parsers of all commands and subcommands, by the words that call them."""
    found = []

    def parse_args(self, *_):
        found.append(self)
        raise Stopped

    by_words = {}
    with monkeypatch.context() as patch:
        patch.setattr(Parser, "parse_args", parse_args)
        for command in program.COMMANDS:
            module = program.MODULES.get(command, command)
            main = importlib.import_module(f"spectrodiff.commands.{module}").main
            with pytest.raises(Stopped):
                main([])
            parser = found.pop()
            for name, nested in parser.commands.items():
                by_words[command, name] = nested
            if not parser.commands:
                by_words[command,] = parser
    return by_words


def takes_text(action):
    return action.nargs != 0 and action.choices is None


def filler(action):
    """A value that any argument takes; for a choice, the first."""
    return "1" if action.choices is None else next(iter(action.choices))


def command_lines(parser, url):
    """Yields for each argument a command line in which it is the URL, and all else is there."""
    required = [
        word
        for action in parser.flags.values()
        if action.required
        for word in (action.option_strings[0], filler(action))
    ]
    fillers = [filler(action) for action in parser.arguments]
    for action in {id(action): action for action in parser.flags.values()}.values():
        if takes_text(action):
            values = [url] * (action.nargs if isinstance(action.nargs, int) else 1)
            yield action.dest, [*fillers, *required, action.option_strings[-1], *values]
    for place, action in enumerate(parser.arguments):
        if takes_text(action):
            yield action.dest, [*fillers[:place], url, *fillers[place + 1 :], *required]


def assert_refused(words, url, capsys, tmp_path):
    assert program.run(program.main, words) == 1, words
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {url}: expected a path on this machine ("), words
    assert line.endswith("), got a URL"), words
    assert not list(tmp_path.iterdir()), words
    return line


@pytest.mark.parametrize("url", ["gs://b/x", "s3://b/x", "hdfs://host/x"])
def test_every_argument_of_every_command_refuses_remote_files(url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tried = set()
    for words, parser in parsers(monkeypatch).items():
        for name, arguments in command_lines(parser, url):
            assert_refused([*words, *arguments], url, capsys, tmp_path)
            tried.add((words[0], name))
    # Those that name files and folders in the documentation, so that the walk misses none.
    wanted = {
        ("prepare", "source"),
        ("prepare", "data_dir"),
        ("train", "run_dir"),
        ("train", "data_dir"),
        ("train", "init_from"),
        ("train", "gin_file"),
        ("sample", "songs"),
        ("sample", "model"),
        ("sample", "inverter"),
        ("sample", "out"),
        ("evaluate", "dataset"),
        ("fad", "cache"),
        ("recipe", "soundfont"),
    }
    assert wanted <= tried


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("gs://b/x", "gcloud storage rsync"),
        ("s3://b/x", "aws s3 sync"),
        ("file:///x", "copy the files here, or mount what holds them"),
    ],
)
def test_the_error_says_what_to_do_instead(url, advice, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert advice in assert_refused(["train", "--run_dir", url], url, capsys, tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample"],
        ["sample", "a.mid", "--out"],
        ["sample", "a.mid", "--gin_file"],
        ["play", "--inverter"],
        ["inspect"],
        ["transcribe"],
        ["prepare", "pairs", "--data_dir", "data", "--source"],
        ["train", "--run_dir", "run", "--data_dir"],
        ["evaluate", "--out", "report", "--dataset"],
        ["fad", "a", "b", "--vggish"],
    ],
    ids=" ".join,
)
def test_files_on_the_web_are_refused_where_models_are_not_meant(
    arguments, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    url = "https://x.invalid/a"
    assert_refused([*arguments, url], url, capsys, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["train", "--run_dir", "run"], "Data.corpora"),
        (["sample", "a.mid"], "Rendering.model"),
        (["evaluate", "--out", "report"], "Evaluation.datasets"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_settings_refuse_remote_files(arguments, setting, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    value = "'gs://b/x'" if setting.endswith("model") else "('gs://b/x',)"
    binding = ["--gin_bindings", f"{setting} = {value}"]
    assert program.run(program.main, [*arguments, *binding]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {setting}: expected a path on this machine (")
    assert line.endswith("got gs://b/x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "others", "flag"),
    [
        ("sample", ["a.mid"], "model"),
        ("play", [], "model"),
        ("evaluate", ["--out", "report"], "model"),
        ("train", ["--run_dir", "run"], "init_from"),
    ],
)
def test_models_may_be_on_the_web(command, others, flag, monkeypatch):
    url = "https://x.invalid/a.zip"
    flags = parsers(monkeypatch)[command,].parse_args([*others, f"--{flag}", url])
    given = getattr(flags, flag)
    assert given in (url, [url])


def test_options_of_beam_may_name_buckets(monkeypatch):
    options = "--runner=DataflowRunner --temp_location=gs://b/tmp"
    flags = parsers(monkeypatch)["prepare", "pairs"].parse_args(
        ["--source", "a", "--data_dir", "b", f"--beam={options}"]
    )
    assert flags.beam == options
