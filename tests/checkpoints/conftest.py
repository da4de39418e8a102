"""Loopback servers to download from."""

import contextlib

import pytest

from tests.support.servers import FileServer, HubServer


@pytest.fixture
def file_server():
    with contextlib.closing(FileServer()) as server:
        yield server


@pytest.fixture
def hub_server():
    with contextlib.closing(HubServer()) as server:
        yield server
