import dataclasses

import pytest

from spectrodiff.composer.settings import FULL
from spectrodiff.core.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"seconds": (0.5, 2.0)}, "seconds"),
        ({"seconds": (20.0, 10.0)}, "seconds"),
        ({"parts": (0, 3)}, "parts"),
        ({"parts": (1, 16)}, "parts"),
        ({"pitch_range": (21, 128)}, "pitch_range"),
        ({"velocity_range": (0, 100)}, "velocity_range"),
        ({"density": (0.5, 1.5)}, "density"),
        ({"tempo_bpm": (1.0, 100.0)}, "tempo_bpm"),
        ({"drums_probability": 1.5}, "drums_probability"),
        ({"random_notes_probability": -0.1}, "random_notes_probability"),
        ({"max_voices": 0}, "max_voices"),
        ({"programs": ()}, "programs"),
        ({"programs": (128,)}, "programs"),
        ({"programs": (47,), "pitch_range": (50, 90)}, "programs"),  # timpani end at 57
    ],
)
def test_invalid_settings_are_refused(changes: dict, subject: str):
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(FULL, **changes)
    assert caught.value.subject == subject
