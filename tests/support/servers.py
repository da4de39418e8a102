"""Loopback servers to download from."""

import contextlib
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FileServer:
    """Serves bytes by path; `requests` is the log, and the other attributes make trouble."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range asked for
        self.cut_after: int | None = None  # breaks the connection off after so many bytes
        self.ranges = True
        self.if_range = True  # False sends the rest whatever version is asked for
        self.shift = 0  # added to the first byte that a range is asked from
        self.page: bytes | None = None  # sent in place of every file that does not exist
        self.credentials: list[str | None] = []  # sent with the requests
        self.heads = True  # False refuses requests for headers alone
        self.refusal: int | None = None  # status of all answers
        self.etag = '"first"'
        self.headers: dict[str, dict[str, str]] = {}  # more headers, by path
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def transfers(self) -> list[tuple[str, str | None]]:
        """Path and range of the requests for contents."""
        return [(path, range) for method, path, range in self.requests if method == "GET"]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answers with a file, or the rest of it if that is asked for."""
        path = urlsplit(request.path).path
        data = self.files.get(path, self.page)
        self.credentials.append(request.headers.get("Authorization"))
        if request.command == "HEAD" and not self.heads:
            request.send_error(405)
            return
        if self.refusal:
            request.send_error(self.refusal)
            return
        if data is None:
            request.send_error(404)
            return
        start, asked = 0, request.headers.get("Range")
        same = not self.if_range or request.headers.get("If-Range", self.etag) == self.etag
        if asked and self.ranges and same:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            start += self.shift if start else 0
        if start >= len(data) and start:
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        request.send_header("ETag", self.etag)
        for name, value in self.headers.get(path, {}).items():
            request.send_header(name, value)
        if "Content-Length" not in self.headers.get(path, {}):
            request.send_header("Content-Length", str(len(data) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.end_headers()
        self.send(request, data[start:])

    def send(self, request: BaseHTTPRequestHandler, data: bytes) -> None:
        if request.command == "HEAD":
            return
        with contextlib.suppress(ConnectionError):
            request.wfile.write(data if self.cut_after is None else data[: self.cut_after])
        request.close_connection = True


class HubServer(FileServer):
    """The parts of the Hugging Face Hub's interface that downloading a model uses."""

    def __init__(self) -> None:
        super().__init__()
        self.repositories: dict[str, dict[str, bytes]] = {}  # id to file name to contents
        self.sha256: dict[str, str] = {}  # published checksums by file name
        self.license: str | None = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
        else:
            owner, name, *rest = path.removeprefix("/").split("/")
        files = self.repositories.get(f"{owner}/{name}")
        revision = rest[1] if len(rest) > 1 else "main"
        if files is None or revision not in ("main", "v1", COMMIT):
            code = "RepoNotFound" if files is None else "RevisionNotFound"
            self._reply(request, 404, b"", {"X-Error-Code": code})
        elif not path.startswith("/api/"):
            data = files["/".join(rest[2:])]
            headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            self._reply(request, 200, data, headers)
        elif rest[:1] == ["tree"]:
            rows = [
                {"type": "file", "path": path, "size": len(data), "oid": "0" * 40}
                for path, data in files.items()
            ]
            self._reply(request, 200, json.dumps(rows).encode())
        else:
            about = {
                "id": f"{owner}/{name}",
                "sha": COMMIT,
                "siblings": [self._describe(path, data) for path, data in files.items()],
                "cardData": {"license": self.license} if self.license else {},
            }
            self._reply(request, 200, json.dumps(about).encode())

    def _describe(self, path: str, data: bytes) -> dict[str, object]:
        described: dict[str, object] = {"rfilename": path, "size": len(data)}
        if path in self.sha256:
            lfs = {"size": len(data), "sha256": self.sha256[path], "pointerSize": 134}
            described["lfs"] = lfs
        return described

    def _reply(
        self,
        request: BaseHTTPRequestHandler,
        status: int,
        data: bytes,
        headers: dict[str, str] | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            request.send_header(name, value)
        request.end_headers()
        self.send(request, data)


def _handler(server: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.requests.append((self.command, self.path, self.headers.get("Range")))
            server.answer(self)

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, *_: object) -> None:
            pass

    return Handler
