"""Kills of preparation."""

from tests.campaigns.kills import kills_of

CAMPAIGN = kills_of("prepare", "prepare with workers", "render a corpus")
