"""Folders as an evaluation writes them, with made-up scores and short, simple audio."""

import json
from pathlib import Path

import numpy as np
import soundfile

from spectrodiff.evaluation.dataclass_json import from_json
from spectrodiff.evaluation.results import Results

ROWS = {"model": "Model", "encoded": "Ground truth encoded", "raw": "Ground truth raw"}
METRICS = {
    "vggish_reconstruction": ("VGGish rec.", "lower", True, (3.2, 2.1, 0.0)),
    "vggish_frechet": ("VGGish FAD", "lower", True, (1.04, 0.52, 0.0)),
    "log_mel_statistics_reconstruction": ("Log-mel statistics rec.", "lower", False, (61, 24.5, 0)),
    "transcription_f1_full": ("F1", "higher", True, (0.312, 0.355, 0.63)),
    "onset_f1": ("Onset F1", "higher", False, (0.512, 0.605, 0.83)),
}
HOSTILE = (
    "<script>document.title='caught'</script>",
    "100% \"loud\" & 'soft' #2.mid",
    "two  spaces/and?a=slash",
    "Übung für Flöte 練習",
)


def make_evaluation(
    folder: Path,
    corpora: dict[str, list[str]],
    *,
    seconds: float = 3.0,
    model: str = "runs/base_with_context",
    offset: float = 0.0,
    minutes: int = 3,
    **changes: object,
) -> dict:
    """Writes `scores.json` and audio for the songs of each "corpus:split"; returns the scores.

    Song number k of a corpus scores (1 + k / 10) times the numbers in `METRICS`, plus `offset`.
    Audio of row r is `tone` at 220 * (k + 1) Hz that starts at second 1, r samples shorter.
    """
    content = {
        "format": 1,
        "title": f"Evaluation of {model}",
        "model": model,
        "created": "2031-04-05T06:07:08+00:00",
        "device": "2 CPU cores",
        "settings": {
            "steps": 50,
            "sampler": "dpmpp",
            "protocol": "released",
            "size": {"layers": 2},
        },
        "rows": [{"name": name, "title": title} for name, title in ROWS.items()],
        "metrics": [
            {"name": name, "title": title, "better": better, "paper": in_paper}
            for name, (title, better, in_paper, _) in METRICS.items()
        ],
        "missing": [
            {
                "metric": "trill_frechet",
                "file": "trill/saved_model.pb",
                "published": "the model's page",
                "reason": "its weights are not here.",
            }
        ],
        "corpora": [
            _corpus(folder, number, corpus, songs, seconds, offset, minutes)
            for number, (corpus, songs) in enumerate(corpora.items())
        ],
        "mean": {
            row: {name: values[place] for name, (*_, values) in METRICS.items()}
            for place, row in enumerate(ROWS)
        },
        "speed": {"features": 1.5, "inversion": 13.2, "both": 1.35, "note": "batch size 1"},
    }
    content.update(changes)
    (folder / "scores.json").write_text(json.dumps(content))
    return content


def as_results(content: dict) -> Results:
    """Parses the content of a `scores.json`."""
    return from_json(Results, content, "scores.json")


def _corpus(folder, number, corpus, songs, seconds, offset, minutes):
    name, split = corpus.split(":")
    return {
        "name": name,
        "split": split,
        "songs": len(songs),
        "asked": len(songs),
        "seconds": seconds * len(songs),
        "scores": {
            row: {
                metric: {
                    "value": values[place],
                    "low": values[place] * 0.9,
                    "high": values[place] * 1.1,
                    "extrapolated": values[place] * 0.8 if metric.endswith("frechet") else None,
                    "frames": 12_345 if metric.endswith("frechet") else None,
                }
                for metric, (*_, values) in METRICS.items()
            }
            for place, row in enumerate(ROWS)
        },
        "per_song": [
            _song(folder, f"media/{number}/{song}", song, index, seconds, offset, minutes)
            for index, song in enumerate(songs)
        ],
    }


def _song(folder, media, song, index, seconds, offset, minutes):
    scores, per_minute, files = {}, {}, {}
    for place, row in enumerate(ROWS):
        of_row = {
            metric: values[place] * (1 + index / 10) + offset
            for metric, (*_, values) in METRICS.items()
            if not metric.endswith("frechet")
        }
        scores[row] = of_row
        per_minute[row] = {
            metric: [value * (1 + minute / 50) for minute in range(minutes)]
            for metric, value in of_row.items()
        }
        files[row] = f"{media}/{row}.flac"
        path = folder / files[row]
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tone(220 * (index + 1), seconds, place), 16_000)
    return {
        "song": song,
        "seconds": seconds,
        "scores": scores,
        "minutes": per_minute,
        "media": files,
    }


def tone(hz: float, seconds: float, shorter_samples: int = 0) -> np.ndarray:
    """Silence, then a tone from second 1 on, float64 [samples] at 16 kHz."""
    times = np.arange(round(seconds * 16_000) - shorter_samples) / 16_000
    return 0.3 * np.sin(2 * np.pi * hz * times) * (times >= 1)
