"""A headless Chromium, driven over the two pipes of its remote debugging protocol."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.patience import PATIENCE_SECONDS

EXECUTABLE = shutil.which("chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
)
# A page tells first which condition never got true.
_SILENT_SECONDS = PATIENCE_SECONDS + 30
# Keys that do something in a browser do so only with the number that Windows gives them.
_KEY_NUMBERS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}


class Browser:
    """One tab. What goes wrong in a page is collected in `problems`.

    Args:
        width, height: size of the window in pixels.
        origin: beginning of the addresses that the page may load from, as `http://127.0.0.1:8000/`;
            any request is a problem if it is None.
    """

    def __init__(self, width: int = 1200, height: int = 900, origin: str | None = None) -> None:
        self.origin = origin
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        to_chromium, self._write = os.pipe()
        self._read, from_chromium = os.pipe()
        # The protocol is spoken on descriptors 3 and 4, which only a shell can lay there.
        shell = f'exec "$@" 3<&{to_chromium} 4>&{from_chromium}'
        profile = f"--user-data-dir={self._profile.name}"
        size = f"--window-size={width},{height}"
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", EXECUTABLE, *_FLAGS, profile, size],
            pass_fds=(to_chromium, from_chromium),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_chromium)
        os.close(from_chromium)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, page: Path) -> None:
        """Opens a page and waits until it and its pictures are loaded."""
        self.call("Page.navigate", url=page.absolute().as_uri())
        self.wait_for(f"location.href === {json.dumps(page.absolute().as_uri())}")
        self.wait_for("document.readyState === 'complete'")

    def visit(self, url: str) -> None:
        """Opens an address and waits until it is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")

    def run(self, script: str) -> object:
        """The value of an expression in the page; a promise is awaited."""
        answer = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Waits until an expression is true in the page; fails if it never gets true."""
        waiting = (
            f"new Promise((done, fail) => {{ setTimeout(fail, {1000 * PATIENCE_SECONDS},"
            f" {json.dumps(f'never true: {condition}')});"
            f" const look = () => ({condition}) ? done(true) : setTimeout(look, 10); look(); }})"
        )
        self.run(waiting)

    def press(self, key: str, code: str = "") -> None:
        text = key if len(key) == 1 else {"Enter": "\r"}.get(key, "")
        number = _KEY_NUMBERS.get(key, 0)
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if text and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=code or key,
                windowsVirtualKeyCode=number,
                **extra,
            )

    def key_down(self, key: str, code: str) -> None:
        """Presses a key, and holds it until `key_up`."""
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=code)

    def key_up(self, key: str, code: str) -> None:
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=code)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def set_files(self, selector: str, *paths: Path) -> None:
        """Chooses files in an input, as in its dialog."""
        found = self.call("Runtime.evaluate", expression=f"document.querySelector('{selector}')")
        files = [str(path) for path in paths]
        self.call("DOM.setFileInputFiles", files=files, objectId=found["result"]["objectId"])

    def screen(self, width: int, height: int, phone: bool = False) -> None:
        """Emulates a screen; a phone's has touch and no mouse."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=phone, **size)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def media(self, **features: str) -> None:
        """Emulates media features, as `prefers_color_scheme="dark"`; none: those of the system."""
        named = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", features=named)

    def screenshot(self, path: Path, whole_page: bool = False) -> None:
        """Writes a picture of the page as PNG."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole_page)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)
        self._profile.cleanup()

    def _next(self) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _SILENT_SECONDS)
            assert ready, "the browser does not answer"
            piece = os.read(self._read, 1 << 16)
            assert piece, "the browser has ended"
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(line)
        self._collect(message.get("method", ""), message.get("params", {}))
        return message

    def _collect(self, method: str, details: dict) -> None:
        url = details.get("request", {}).get("url", "")
        bad = {
            "Runtime.exceptionThrown": True,
            "Page.javascriptDialogOpening": True,
            "Network.loadingFailed": not details.get("canceled"),
            "Log.entryAdded": details.get("entry", {}).get("level") == "error",
            "Runtime.consoleAPICalled": details.get("type") in ("error", "warning"),
            "Network.requestWillBeSent": self._is_foreign(url),
        }
        if bad.get(method):
            self.problems.append(f"{method}: {json.dumps(details)[:500]}")

    def _is_foreign(self, url: str) -> bool:
        own = self.origin is not None and url.startswith(self.origin)
        return url.startswith(("http:", "https:")) and not own
