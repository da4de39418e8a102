"""A loopback Hugging Face Hub that takes uploads, in the client's protocol without Xet."""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.support.servers import COMMIT, HubServer

TOKEN = "hf_of_a_test"
MIME = "application/vnd.git-lfs+json"


class WritableHub(HubServer):
    """Hub with one user, `me`, who has the token `TOKEN`; weights are sent as large files.

    `commits` is the log. `fails` makes requests whose path has a match of it fail with status 500.
    """

    def __init__(self) -> None:
        super().__init__()
        self.private: dict[str, bool] = {}
        self.branches: dict[str, set[str]] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.commits: list[tuple[str, str, str]] = []  # repository, branch, message
        self.fails: str | None = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path)
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        if self.fails and re.search(self.fails, path):
            self._json(request, 500, {"error": "out of order"})
        elif request.command in ("GET", "HEAD"):
            match = re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)
            if match and match[1] in self.repositories:
                files = [{"rfilename": name} for name in self.repositories[match[1]]]
                about = {"id": match[1], "sha": COMMIT, "siblings": files}
                self._json(request, 200, {**about, "private": self.private.get(match[1], False)})
            else:
                super().answer(request)
        elif path.startswith("/large/"):  # as at a storage: the address is the permission
            self.large[path.removeprefix("/large/")] = body
            self._json(request, 200, {})
        elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json(request, 401, {"error": "Invalid credentials"})
        else:
            self._write(request, path, body)

    def _write(self, request: BaseHTTPRequestHandler, path: str, body: bytes) -> None:
        if path == "/api/validate-yaml":
            self._json(request, 200, {"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.repositories:
                self._json(request, 409, {"error": "it exists", "url": f"{self.url}/{name}"})
            elif asked["organization"] != "me":
                self._json(request, 403, {"error": "no rights to create a model here"})
            else:
                self.repositories[name] = {}
                self.private[name] = asked.get("visibility") == "private"
                self._json(request, 200, {"url": f"{self.url}/{name}"})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/branch/(.+)", path):
            self.branches.setdefault(match[1], set()).add(match[2])
            self._json(request, 200, {})
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/(.+)", path):
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._json(request, 200, {"files": modes})
        elif re.fullmatch(r"/[^/]+/[^/]+\.git/info/lfs/objects/batch", path):
            objects = [
                {**file, "actions": {"upload": {"href": f"{self.url}/large/{file['oid']}"}}}
                for file in json.loads(body)["objects"]
            ]
            self._json(request, 200, {"transfer": "basic", "objects": objects}, MIME)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/(.+)", path):
            if not match[1].startswith("me/"):
                self._json(request, 403, {"error": "this token may read only"})
            else:
                self._commit(match[1], match[2], body)
                answer = {"commitUrl": f"{self.url}/{match[1]}/commit/{COMMIT}"}
                self._json(request, 200, {**answer, "commitOid": COMMIT})
        else:
            self._json(request, 404, {"error": path})

    def _commit(self, repository: str, branch: str, body: bytes) -> None:
        rows = [json.loads(line) for line in body.splitlines()]
        files = dict(self.repositories[repository])
        for row in rows:
            value = row["value"]
            match row["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    data = self.large[value["oid"]]
                    assert hashlib.sha256(data).hexdigest() == value["oid"]
                    files[value["path"]] = data
                case "deletedFile":
                    del files[value["path"]]
        self.repositories[repository] = files
        self.commits.append((repository, branch, message))

    def _json(
        self, request: BaseHTTPRequestHandler, status: int, value: object, kind="application/json"
    ) -> None:
        self._reply(request, status, json.dumps(value).encode(), {"Content-Type": kind})
