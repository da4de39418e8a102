"""Kills of sampling."""

from tests.campaigns.kills import kills_of

CAMPAIGN = kills_of("sample")
