"""Kills of evaluation."""

from tests.campaigns.kills import kills_of

CAMPAIGN = kills_of("evaluate")
