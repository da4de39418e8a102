"""Kills of conversion."""

from tests.campaigns.kills import kills_of

CAMPAIGN = kills_of("convert", "convert for diffusers", "convert to ONNX")
