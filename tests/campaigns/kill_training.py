"""Kills of training."""

from tests.campaigns.kills import kills_of

CAMPAIGN = kills_of("train", "train with a worker")
