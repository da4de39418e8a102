"""One habit in all commands: names, spellings and help of flags, errors of command lines."""

import itertools
import logging
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from spectrodiff.commands import compare, convert, evaluate, invert, play, program, sample
from spectrodiff.commands.shared.sampling import warn_of_sampling
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.runtime import find_devices
from spectrodiff.core.suggestions import did_you_mean
from spectrodiff.data.source import CORPORA
from spectrodiff.diffusion.sampling import FEW_STEPS, PAPER_SAMPLING, Sampling
from spectrodiff.models.config import SIZES
from tests.support.parsers import all_parsers

PARSERS = dict(all_parsers())
# What may differ between commands in flags of one name: their help says what they do there.
MAY_DIFFER = {
    "--batch_size": {"help"},
    "--device": {"default"},  # None where gin files have the setting
    "--dtype": {"help"},
    "--gin_bindings": {"help"},
    "--init_from": {"help"},
    "--inverter": {"help", "type"},
    "--json": {"help"},
    "--model": {"help", "action"},
    "--name": {"help", "default"},
    "--out": {"help", "default", "type", "metavar", "required"},
    "--precision": {"default"},
    "--row": {"help"},
    "--seed": {"help", "default"},
    "--songs": {"help", "default", "type", "metavar", "nargs"},
    "--source": {"help", "required"},
    "--strict": {"help"},
    "--title": {"help", "default"},
    "--workers": {"help", "default"},
}
# The sentence that help begins with wherever a flag of the name is.
BEGINNINGS = {
    "--gin_bindings": "one setting; can be repeated; wins over files: ",
    "--init_from": "model whose weights to start from, as sample.py takes it with --model",
    "--json": "print JSON instead of text, and nothing else on standard output: ",
    "--model": "model: a name (mini, small_with_context, base_with_context), a folder, the URL",
    "--seed": "seed of the ",
    "--workers": "number of processes that read and render (default: ",
}
# It prints the address of its page, once.
PRINTS_NO_RESULTS = {"play"}


def named(parser):
    """Flags of a parser by their first long name."""
    flags = {}
    for action in parser.flags.values():
        if action.dest != "help":
            long = next(text for text in action.option_strings if text.startswith("--"))
            flags[long] = action
    return flags


@pytest.mark.parametrize("command", PARSERS)
def test_every_command_uses_the_parser(command):
    parser = PARSERS[command]
    assert isinstance(parser, program.Parser)
    assert parser.prog.startswith("spectrodiff ")
    for name, action in named(parser).items():
        assert "-" not in name[2:], f"{command} {name}: listed with underscores"
        assert action.help, f"{command} {name}: without help"


def test_flags_of_one_name_are_the_same_everywhere():
    seen = {}
    for command, parser in PARSERS.items():
        for name, action in named(parser).items():
            traits = {
                "help": action.help,
                "default": action.default,
                "type": action.type,
                "metavar": action.metavar,
                "required": action.required,
                "nargs": action.nargs,
                "choices": tuple(action.choices or ()),
                "action": type(action),
            }
            first, wanted = seen.setdefault(name, (command, traits))
            differing = {trait for trait in traits if traits[trait] != wanted[trait]}
            extra = differing - MAY_DIFFER.get(name, set())
            assert not extra, f"{name} differs in {extra} between {first} and {command}"
            assert action.help.startswith(BEGINNINGS.get(name, "")), f"{command} {name}"
    assert MAY_DIFFER.keys() <= seen.keys()


@pytest.mark.parametrize("command", PARSERS)
def test_out_has_a_short_name_and_results_a_json_form(command):
    flags = PARSERS[command].flags
    assert ("--out" in flags) == ("-o" in flags)
    assert ("--json" in flags) == (command not in PRINTS_NO_RESULTS)


@pytest.mark.parametrize("command", PARSERS)
def test_dashes_and_underscores_are_the_same(command):
    parser = PARSERS[command]
    arguments = [text for action in parser.arguments for text in value_of(action)]
    flags = named(parser)
    required = {name: value_of(flags[name]) for name in flags if flags[name].required}
    for name, action in flags.items():
        others = [[flag, *value] for flag, value in required.items() if flag != name]
        before = [*arguments, *itertools.chain(*others)]
        given = [] if action.nargs == 0 else value_of(action)
        found = [
            vars(parser.parse_args([*before, text, *given]))
            for text in (name, name.replace("_", "-"))
        ]
        assert found[0] == found[1], f"{command} {name}"


def value_of(action):
    """Texts that an argument or a flag takes."""
    text = str(next(iter(action.choices))) if action.choices else "1"
    if action.type is not None and not action.choices:
        text = "0.5" if action.type.__name__ in ("share", "minutes") else "1"
    return [text] * (action.nargs if isinstance(action.nargs, int) else 1)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["sampel"],
            "command: expected one of sample, .*, got sampel \\(did you mean sample\\?\\)",
        ),
        ([], "spectrodiff: expected command, got none"),
        (
            ["sample", "a.mid", "--guidence", "3"],
            r"--guidence: expected a flag of \S+ sample, .* \(did you mean --guidance\?\)",
        ),
        (["sample", "a.mid", "--guid", "3"], r"--guid: .* \(did you mean --guidance\?\)"),
        (["train", "--run-dri=a"], r"--run-dri: .* \(did you mean --run_dir\?\)"),
        (["sample", "a.mid", "--xyz"], r"--xyz: .* \(spectrodiff sample --help lists them\)"),
        (["sample", "a.mid", "-z"], "-z: expected a flag of spectrodiff sample, .*"),
        (["sample", "--steps", "2"], "spectrodiff sample: expected SONG.mid, got none"),
        (["train"], "spectrodiff train: expected --run_dir, got none"),
        (["sample", "a.mid", "--steps", "x"], "--steps: expected a whole number, got x"),
        (["sample", "a.mid", "--guidance", "x"], "--guidance: expected a number, got x"),
        (["sample", "a.mid", "--seed", "-1"], "--seed: expected a whole number of 0 or more, .*-1"),
        (["sample", "a.mid", "--seed"], "--seed: expected a value, got none"),
        (
            ["sample", "a.mid", "--guidance-times", "1"],
            "--guidance_times: expected 2 values, got fewer",
        ),
        (
            ["sample", "a.mid", "--device", "cudda"],
            r"--device: expected one of auto, .*, tpu, got cudda \(did you mean cuda\?\)",
        ),
        (
            ["sample", "a.mid", "--precision", "bfloat61"],
            r"--precision: expected one of float32, bfloat16, got bfloat61 \(did you mean bfl.*",
        ),
        (
            ["sample", "a.mid", "--format", "flak"],
            r"--format: .*, got flak \(did you mean flac\?\)",
        ),
        (["prepare", "maestor"], r"CORPUS: expected one of maestro, .* \(did you mean maestro\?\)"),
        (
            ["prepare", "pairs", "--source", "a", "--validation-shar", "0.5"],
            r"--validation-shar: expected a flag of spectrodiff prepare pairs, .* "
            r"\(did you mean --validation_share\?\)",
        ),
        (["play", "a.mid", "b.mid"], "spectrodiff play: expected no more arguments, got b.mid"),
        (["convert", "mini"], "--out: expected one file or folder to write, got none"),
        (["convert", "mini", "a", "-o", "b"], "--out: expected one .*, got a and b"),
        (
            ["prepare", "soundfont", "--hours", "1", "--songs", "2"],
            "--songs: not allowed with argument --hours",
        ),
    ],
)
def test_command_lines_that_cannot_be_parsed(arguments, line, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["spectrodiff"])
    with pytest.raises(SystemExit) as caught:
        program.run(program.main, arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.count("\n") == 1
    assert re.fullmatch(f"error: {line}", printed.err.strip())


def test_flags_stand_anywhere_and_strange_names_follow_two_dashes():
    flags = sample.parse_flags(["a.mid", "-o", "out", "b.mid", "--no-ties", "c.mid"])
    assert (flags.songs, flags.out, flags.ties) == (["a.mid", "b.mid", "c.mid"], "out", False)
    flags = sample.parse_flags(["--steps", "2", "--", "--a.mid", "-b.mid"])
    assert (flags.songs, flags.steps) == (["--a.mid", "-b.mid"], 2)


def test_old_spellings(monkeypatch):
    for arguments in (["a", "b"], ["a", "--dtype", "float16", "b"], ["a", "--out", "b"]):
        flags = convert.parse_flags(arguments)
        assert (flags.source, str(flags.out)) == ("a", "b")
    assert str(invert.parse_flags(["a.wav", "b.wav"]).out) == "b.wav"
    # `compare --json FILE` was what `--out FILE` is now.
    seen = []
    monkeypatch.setattr("spectrodiff.evaluation.comparison.compare_rows", lambda *a, **b: None)
    monkeypatch.setattr("spectrodiff.report.comparison_table", lambda *a: "table")
    monkeypatch.setattr(
        "spectrodiff.evaluation.dataclass_json.write_dataclass", lambda path, *a: seen.append(path)
    )
    for old in (["--json", "c.json"], ["--json=c.json"], ["--out", "c.json"], ["-o", "c.json"]):
        compare.main(["a", "b", *old])
    assert [str(path) for path in seen] == ["c.json"] * 4


def test_help_lists_one_spelling_and_needs_no_jax():
    code = (
        "import sys; from spectrodiff.commands import program\n"
        "try: program.main(sys.argv[1:])\n"
        "finally: print('jax' in sys.modules, file=sys.stderr)"
    )
    for arguments, uses_jax in ((["--help"], "False"), (["sample", "--help"], "True")):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stderr.strip() in ("False", uses_jax)
        assert "usage: " in done.stdout
    assert "--mask_context, --no_mask_context" in done.stdout
    assert "--mask-context" not in done.stdout
    assert "-o OUT" in done.stdout


def test_cuda_is_gpu_and_unknown_devices_are_refused(monkeypatch):
    import jax

    asked = []
    monkeypatch.setattr(jax, "devices", lambda kind: asked.append(kind) or ["a device"])
    assert find_devices("cuda") == find_devices("gpu") == ["a device"]
    assert asked == ["gpu", "gpu"]
    monkeypatch.undo()
    with pytest.raises(ConfigError, match=r"device: .*, got cudda \(did you mean cuda\?\)"):
        find_devices("cudda")
    with pytest.raises(ConfigError, match="got tpu, of which this machine has none"):
        find_devices("tpu")


@pytest.mark.parametrize(
    ("changes", "own", "kind", "warnings"),
    [
        ({}, PAPER_SAMPLING, "diffusion", []),
        ({"guidance": 1.0, "steps": 20}, FEW_STEPS, "diffusion", []),
        ({"guidance": -1.0}, FEW_STEPS, "diffusion", ["guidance -1: below 0 the model is led"]),
        ({"guidance": 0.5}, FEW_STEPS, "diffusion", ["guidance 0.5: below 1 the model follows"]),
        (
            {"context_guidance": -2.0, "guidance": None},
            FEW_STEPS,
            "diffusion",
            ["context_guidance -2: below 0"],
        ),
        (
            {"steps": 10, "guidance": 2.0},
            Sampling("ddim", steps=1, guidance=1.0),
            "diffusion",
            ["m is made for 1 step: steps 10 may", "m is made to be unguided: guidance 2 may"],
        ),
        ({"steps": 2}, Sampling("ddim", steps=2, guidance=1.0), "diffusion", []),
        (
            {"steps": 10, "guidance": -1.0, "sampler": None},
            PAPER_SAMPLING,
            "autoregressive",
            ["m is autoregressive: it ignores steps, guidance"],
        ),
        ({"steps": None}, PAPER_SAMPLING, "autoregressive", []),
    ],
)
def test_warnings_about_sampling(changes, own, kind, warnings, caplog):
    caplog.set_level(logging.WARNING)
    warn_of_sampling(changes, own, kind=kind, model="m")
    assert len(caplog.messages) == len(warnings)
    for message, beginning in zip(caplog.messages, warnings, strict=True):
        assert message.startswith(beginning)


def test_warnings_show_no_secrets(caplog):
    address = "https://me:secret@host/m.zip"
    warn_of_sampling({"steps": 2}, PAPER_SAMPLING, kind="autoregressive", model=address)
    assert caplog.messages == ["https://***@host/m.zip is autoregressive: it ignores steps"]


def test_sampling_flags_are_the_same_in_all_commands_that_render(monkeypatch):
    given = ["--steps", "7", "--guidance", "1.5", "--sampler", "ddim", "--guidance-times", "0", "1"]
    flags = [
        sample.parse_flags(["a.mid", *given]),
        play.parse_flags(given),
        evaluate.parse_flags(["-o", "a", *given]),
    ]
    for one in flags:
        assert (one.steps, one.guidance, one.sampler) == (7, 1.5, "ddim")
        assert one.guidance_times == [0.0, 1.0]
        assert one.mask_context is None
    # Flags win over gin; another number of steps drops the times.
    bindings = ["--gin_bindings", "Evaluation.times = (1.0, 0.5)", "--seed", "3"]
    more = ["--gin_bindings", "Evaluation.guidance = 4.0", "--precision", "bfloat16"]
    settings = evaluate.configure(evaluate.parse_flags(["-o", "a", *given, *bindings, *more]))
    assert (settings.steps, settings.times, settings.guidance) == (7, None, 1.5)
    assert (settings.seed, settings.precision, settings.batch_size) == (3, "bfloat16", 8)
    settings = evaluate.configure(evaluate.parse_flags(["-o", "a", *bindings]))
    assert settings.times == (1.0, 0.5)


def test_the_page_starts_with_the_sampling_of_the_flags(monkeypatch, caplog):
    synth = SimpleNamespace(sampling=Sampling("ddim", steps=2, guidance=1.0), config=SIZES["tiny"])
    monkeypatch.setattr("spectrodiff.synthesis.loading.load", lambda *names, **settings: synth)
    flags = play.parse_flags(["--steps", "5", "--guidance", "0.5"])
    [model] = play.load_models(["m"], flags).values()
    assert (model.synth.sampling.steps, model.synth.sampling.guidance) == (5, 0.5)
    assert model.made_for == 2
    assert any("made for 2 steps" in message for message in caplog.messages)
    with pytest.raises(ConfigError, match="steps: expected a whole number >= 1"):
        play.load_models(["m"], play.parse_flags(["--steps", "0"]))
    # The page is shown to everyone who can reach it.
    caplog.set_level(logging.INFO)
    secret = play.load_models(["https://me:secret@host/m.zip"], flags)
    assert [(name, model.name) for name, model in secret.items()] == [
        ("https://***@host/m.zip",) * 2
    ]
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("wrong", "names", "hint"),
    [
        ("Mini", ["mini", "base"], " (did you mean mini?)"),
        ("guid", ["guidance", "guidance_times"], " (did you mean guidance?)"),
        ("xyz", ["mini", "base"], ""),
        ("", ["mini"], ""),
    ],
)
def test_suggestions(wrong, names, hint):
    assert did_you_mean(wrong, names) == hint


def test_a_misspelt_sampler_is_suggested_wherever_it_is_set():
    for make in (lambda: Sampling(sampler="dpmp"), lambda: PAPER_SAMPLING.but(sampler="dpmp")):
        with pytest.raises(ConfigError, match=r"got 'dpmp' \(did you mean dpmpp\?\)"):
            make()


def test_train_without_a_config_says_which_to_try(tmp_path, capsys):
    assert program.run(program.main, ["train", "--run_dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: --gin_file: expected a config, such as tiny.gin")
    assert not list(tmp_path.iterdir())


def test_all_corpora_are_known():
    assert {f"prepare {corpus}" for corpus in CORPORA} <= PARSERS.keys()
    assert len([name for name in PARSERS if name.startswith("prepare")]) == len(CORPORA)


@pytest.mark.parametrize(
    ("corpus", "command"),
    [
        ("maestro", "spectrodiff prepare maestro --source FOLDER --data_dir"),
        ("slakh/redux", "spectrodiff prepare slakh --source FOLDER --variant redux --data_dir"),
        ("pairs/mine", "spectrodiff prepare pairs --source FOLDER --name mine --data_dir"),
        ("soundfont", "spectrodiff prepare soundfont --data_dir"),
        ("maestor", "did you mean maestro?"),
        ("xyz", "corpora are maestro, slakh"),
    ],
)
def test_a_missing_corpus_names_the_command_that_prepares_it(corpus, command, tmp_path, capsys):
    arguments = ["evaluate", "--dataset", corpus, "--data-dir", str(tmp_path), "-o", "nowhere"]
    assert program.run(program.main, arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {corpus}: expected the prepared corpus {corpus} in {tmp_path}")
    assert command in line


def test_interrupts_are_called_stopped(monkeypatch, capsys):
    def stop(arguments):
        raise KeyboardInterrupt

    assert program.run(stop, []) == 130
    assert capsys.readouterr().err == "stopped\n"
