"""A Hub to upload to."""

import contextlib

import pytest
from huggingface_hub import constants

from tests.support.hub_uploads import TOKEN, WritableHub


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The Hub of this process, with a token, and a cache of its own."""
    with contextlib.closing(WritableHub()) as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server
