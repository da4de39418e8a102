"""Protection of the page from other pages: who may ask, and what the page may load."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port.
_HOST = re.compile(r"(?P<name>[a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests that other web pages cause, and sends headers that restrict the page.

    A page elsewhere can make a browser send requests to this machine, and can give its own name
    this machine's address. Both are told by the headers `Host` and `Origin`.

    Args:
        app: what is protected.
        names: host names that the server is reached by; None for any.
    """

    def __init__(self, app: ASGIApp, names: Collection[str] | None) -> None:
        self._app, self._names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or answers 403."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        own = origin is None or origin.lower() in (f"http://{host}", f"https://{host}")
        if not (self._is_known(host) and own):
            error = "this address may only be opened in a browser on this machine"
            await JSONResponse({"error": error}, 403)(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _is_known(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        return self._names is None or match["name"].strip("[]") in self._names
