"""Commands that write files and folders, in this process."""

from pathlib import Path

from tests.campaigns.disks.writer import GOLDEN, MODEL, SONG, Materials, Writer, command

MODELS = GOLDEN / "checkpoints"
STEPS = ("--steps", 1, "--model", MODEL)


def sample(*words: object, name: str = "song.wav"):
    def write(out: Path, materials: Materials) -> None:
        inverter = ("--inverter", materials.inverter)
        command("sample", SONG, "--out", out / name, *STEPS, *inverter, *words)

    return write


def invert(out: Path, materials: Materials) -> None:
    recording = materials.pairs / "test" / "last.wav"
    command("invert", recording, "--out", out / "sound.wav", "--inverter", materials.inverter)


def prepare(corpus: str, *words: object):
    def write(out: Path, materials: Materials) -> None:
        source = release(corpus, materials)
        command("prepare", corpus, *source, "--data_dir", out / "data", *words)

    return write


def release(corpus: str, materials: Materials) -> list[object]:
    """Returns the flags for a tiny release of a corpus, which is written once."""
    from tests.support import corpora

    if corpus == "soundfont":
        return []
    if corpus == "pairs":
        return ["--source", materials.pairs]
    folder = materials.home / corpus
    if folder.exists():
        return ["--source", folder]
    if corpus == "maestro":
        rows = [("train", "2004/a"), ("validation", "2004/b"), ("test", "2004/c")]
        corpora.write_maestro(folder, rows)
    elif corpus == "slakh":
        stems = {"S00": {"program": 1}, "S01": {"program": 34}, "S02": {"is_drum": True}}
        for name in ("train/Track00001", "validation/Track01501"):
            corpora.write_slakh_track(folder / name, stems)
        (folder / "test").mkdir()
    elif corpus == "guitarset":
        for id in ("00_BN1-129-Eb_comp", "03_SS3-98-C_comp"):
            corpora.write_guitarset(folder, id, [[(0.1, 0.2, 52.0)]] * 6)
    elif corpus == "musicnet":
        for half, id in (("train", "1727"), ("train", "1733"), ("train", "1729"), ("test", "1759")):
            corpora.write_musicnet(folder, half, id, ["22050,33075,41,64,0.0,1.0,Quarter"])
    elif corpus == "urmp":
        for name in ("01_Jupiter_vn_vc", "44_K515_vn"):
            codes = name.split("_")[2:]
            corpora.write_urmp(folder / name, codes, ["0.10 440.0 0.25\n"] * len(codes))
    return ["--source", folder]


def convert(source: Path, *words: object, name: str = "model"):
    def write(out: Path, materials: Materials) -> None:
        command("convert", source, out / name, *words)

    return write


def convert_inverter(name: str, *words: object):
    def write(out: Path, materials: Materials) -> None:
        command("convert", materials.inverter, out / name, *words)

    return write


def push(out: Path, materials: Materials) -> None:
    words = ("--inverter", materials.inverter, "--songs", SONG)
    command("push", MODEL, "--out", out / "model", "--license", "mit", *words)


def evaluate(out: Path, materials: Materials) -> None:
    words = ["--model", MODEL, "--dataset", "pairs", "--data_dir", materials.data, "--out", out]
    settings = ("steps = 1", "speed_segments = 0", "batch_size = 4", "replicates = 5")
    for setting in settings:
        words += ["--gin_bindings", f"Evaluation.{setting}"]
    command("evaluate", *words)


def compare(out: Path, materials: Materials) -> None:
    first, second = (materials.home / name for name in ("one", "two"))
    command("compare", first, second, "--out", out / "numbers.json")


def transcribe(out: Path, materials: Materials) -> None:
    from tests.support.checkpoint_writers import published_mt3, write_t5x

    folder = materials.home / "mt3"
    if not folder.exists():
        weights = published_mt3(GOLDEN)
        weights["decoder/logits_dense/kernel"][:, 13:1004] *= 0.2
        write_t5x(folder, weights)
    import spectrodiff.checkpoints.layouts.mt3

    spectrodiff.checkpoints.layouts.mt3.MAX_TOKENS = 24
    recording = materials.pairs / "test" / "last.wav"
    command("transcribe", recording, "--out", out / "song.mid", "--transcriber", folder)


def evaluations(out: Path, materials: Materials) -> None:
    from tests.campaigns.disks.functions import evaluations as make

    make(out, materials)


# Files of TFDS, and those in which times stand.
PREPARED = ("*.lock", "*/incomplete.*", "*/rendered/*")

COMMANDS = {
    **{
        f"sample {suffix}": Writer(sample(name=f"song.{suffix}"), free=("*.ogg",))
        for suffix in ("wav", "flac", "ogg")
    },
    "sample picture": Writer(sample("--picture")),
    "sample stems": Writer(sample("--stems", "--picture", name="stems")),
    "invert": Writer(invert),
    **{
        f"prepare {corpus}": Writer(prepare(corpus, *words), kept=PREPARED)
        for corpus, words in {
            "pairs": (),
            "maestro": (),
            "slakh": (),
            "guitarset": (),
            "musicnet": (),
            "urmp": (),
            "soundfont": ("--songs", 2, "--style", "narrow"),
        }.items()
    },
    "prepare workers": Writer(prepare("pairs", "--workers", 2), kept=PREPARED),
    "convert": Writer(convert(MODELS / "t5x"), replaces=False),
    "convert float16": Writer(convert(MODELS / "paddle", "--dtype", "float16"), replaces=False),
    "convert inverter": Writer(convert_inverter("inverter.safetensors")),
    "convert onnx": Writer(convert_inverter("inverter.onnx")),
    "push": Writer(push, replaces=False),
    "evaluate": Writer(evaluate, free=("scores.json", "*/scores.json", "index.html")),
    "compare": Writer(compare, evaluations),
    "transcribe": Writer(transcribe),
}
