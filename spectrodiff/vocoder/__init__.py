"""Spectrogram to audio: inverters behind one interface, and inversion piece by piece."""

from spectrodiff.vocoder.base import Inverter
from spectrodiff.vocoder.griffin_lim import GriffinLim
from spectrodiff.vocoder.onnx import OnnxInverter
from spectrodiff.vocoder.windows import InversionStream, invert

__all__ = ["GriffinLim", "InversionStream", "Inverter", "OnnxInverter", "invert"]
