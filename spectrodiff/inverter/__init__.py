"""Inverters, which convert features to audio, and inversion part by part."""

from spectrodiff.inverter.base import Inverter
from spectrodiff.inverter.griffin_lim import GriffinLim
from spectrodiff.inverter.onnx import OnnxInverter
from spectrodiff.inverter.score_phases import ScorePhases
from spectrodiff.inverter.windows import InversionStream, SongInversion, invert

__all__ = [
    "GriffinLim",
    "InversionStream",
    "Inverter",
    "OnnxInverter",
    "ScorePhases",
    "SongInversion",
    "invert",
]
