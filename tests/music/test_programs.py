import numpy as np
import pytest

from spectrodiff.music.programs import SLAKH_CLASSES, map_program_numbers


def test_slakh_classes():
    assert len(SLAKH_CLASSES) == len(set(SLAKH_CLASSES.values())) == 34
    # Programs of the classes, in order.
    assert list(SLAKH_CLASSES) == [
        *(0, 4, 8, 16, 24, 26, 29, 32, 33, 40, 41, 42, 43, 46, 47, 48, 50),
        *(52, 55, 56, 57, 58, 60, 61, 64, 66, 67, 68, 69, 70, 71, 73, 80, 88),
    ]


@pytest.mark.parametrize(
    ("program_map", "programs", "expected"),
    [
        ("full", [0, 41, 127], [0, 41, 127]),
        ("midi_class", [0, 7, 8, 41, 127], [0, 0, 8, 40, 120]),
        ("flat", [0, 41, 127], [0, 0, 0]),
        # Bright piano (1): piano; marimba (12): chromatic percussion; steel guitar (25): nylon
        # guitar (24); tremolo strings (44) and pizzicato (45): contrabass (43).
        ("slakh", [1, 12, 24, 25, 26, 44, 45, 46], [0, 8, 24, 24, 26, 43, 43, 46]),
        # Piccolo (72): clarinet (71), since pipe is 73; all programs above 88: pad.
        ("slakh", [72, 73, 79, 80, 87, 88, 127], [71, 73, 73, 80, 80, 88, 88]),
    ],
)
def test_maps(program_map, programs, expected):
    assert map_program_numbers(np.array(programs), program_map).tolist() == expected


def test_unknown_map_is_refused():
    with pytest.raises(ValueError, match="slakk"):
        map_program_numbers(np.array([0]), "slakk")  # type: ignore[arg-type]
