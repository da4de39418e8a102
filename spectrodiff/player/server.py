"""Serving of the page on this machine."""

import contextlib
import ipaddress
import logging
import socket
import threading
import webbrowser
from collections.abc import Callable, Collection

import uvicorn

from spectrodiff.core.errors import ConfigError, first_line
from spectrodiff.player.app import make_app
from spectrodiff.player.guard import LOOPBACK_NAMES
from spectrodiff.player.studio import Studio

logger = logging.getLogger(__name__)

DEFAULT_PORT = 8765
# Ports after the default one that are tried if it is taken.
TRIED_PORTS = 20


def open_socket(host: str, port: int | None) -> socket.socket:
    """Returns a socket that listens.

    Args:
        host: address to listen at.
        port: None for the default one or, if it is taken, one of those after it; 0 for any.

    Raises:
        ConfigError: if the port or address cannot be used.
    """
    if not host:
        raise ConfigError("address", "a name or number", "none")
    ports = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + TRIED_PORTS)
    reason = ""
    for number in ports:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, number))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            listener.close()
            reason = first_line(error)
            continue
        return listener
    wanted = f"{host}:{port}" if port is not None else f"{host}, ports {ports[0]} to {ports[-1]}"
    raise ConfigError("address", "one that is free on this machine", f"{wanted} ({reason})")


def host_names(host: str) -> Collection[str] | None:
    """Returns the names that a server at an address may be called by; None for any."""
    return {*LOOPBACK_NAMES, host.lower()} if is_loopback(host) else None


def is_loopback(host: str) -> bool:
    """Returns True if only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def serve(
    studio: Studio,
    listener: socket.socket,
    *,
    host: str,
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serves the page until Ctrl-C or SIGTERM.

    Args:
        studio: models, songs and renderings.
        listener: result of `open_socket`.
        host: address that it listens at.
        on_start: called with the page's address as soon as it can be opened.
    """
    config = uvicorn.Config(
        make_app(studio, host_names(host)),
        log_level="warning",
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=5,
    )
    address = address_of(listener, host)
    server = _Server(config, lambda: on_start and on_start(address), studio.end_streams)
    with contextlib.closing(listener):
        try:
            server.run([listener])
        finally:
            studio.close()


def address_of(listener: socket.socket, host: str) -> str:
    """Returns the address of the page."""
    port = listener.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def open_browser(address: str) -> None:
    """Opens the page in a browser, without waiting for it."""
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], object],
        on_shutdown: Callable[[], object],
    ) -> None:
        super().__init__(config)
        self._on_start, self._on_shutdown = on_start, on_shutdown

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_shutdown()
        await super().shutdown(sockets)
