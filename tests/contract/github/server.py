"""The fake on a local port, with the judge at the door in both directions and faults on the wire."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.contract.github import routes
from tests.contract.github.contract import Answer, Sent, check_answer, check_request
from tests.contract.github.fake import FakeGitHub, Reply
from tests.contract.github.world import World

assert routes.APP_ID  # imported for the operations it registers
UNDESCRIBED = ("/graphql",)  # graphql-core judges what goes there


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: FakeGitHub
    lock: threading.RLock


class _Wire(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""

    def _serve(self) -> None:
        path, _, query = self.path.partition("?")
        path = path.removeprefix("/api/v3").replace("/api/graphql", "/graphql") or "/"
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        with self.server.lock:
            fault = self.server.fake.find_fault(self.command, path)
        if fault is not None and fault.delay_s:
            time.sleep(fault.delay_s)
        is_lost = fault is not None and bool(fault.status or fault.cuts)
        reply = None
        if fault is None or fault.acts or not is_lost:
            with self.server.lock:
                reply = self._judged(path, query, headers, body)
        if fault is not None and fault.cuts:
            self.server.fake.world.log.append((self.command, path, 0))
            self.close_connection = True
            self.connection.close()
            return
        if fault is not None and fault.status:
            reply = Reply(fault.status, fault.body or {"message": "fault"}, dict(fault.headers))
        assert reply is not None
        self._send(path, reply)

    def _judged(self, path: str, query: str, headers: dict[str, str], body: bytes) -> Reply:
        fake = self.server.fake
        shown = {"Content-Type": "application/json", **{n.title(): v for n, v in headers.items()}}
        by_name = fake._by_id(path)
        sent = Sent(self.command.lower(), by_name, query, shown, body or None)
        is_described = path not in UNDESCRIBED
        wrong = check_request(sent) if is_described else None
        if wrong is not None:
            fake.world.broken.append(f"request {self.command} {path}: {wrong}")
            return Reply(422, {"message": wrong, "documentation_url": "https://docs.github.com"})
        reply = fake.answer(self.command, path, query, headers, body)
        answer = Answer(reply.status, reply.data or None, reply.headers, reply.kind.partition(";")[0])
        wrong = check_answer(sent, answer) if is_described else None
        if wrong is not None:
            fake.world.broken.append(f"answer {reply.status} to {self.command} {path}: {wrong}")
            return Reply(500, {"message": wrong})
        return reply

    def _send(self, path: str, reply: Reply) -> None:
        fake = self.server.fake
        fake.world.log.append((self.command, path, reply.status))
        self.send_response_only(reply.status)
        data = reply.data
        headers = {
            "Content-Type": reply.kind,
            "Content-Length": str(len(data)),
            "Date": formatdate(time.time() + fake.world.skew_s, usegmt=True),
        }
        for name, value in {**headers, **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # the names that http.server calls
    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815


@contextmanager
def serving(world: World) -> Iterator[FakeGitHub]:
    """The fake on a free port of this machine.

    Raises:
        AssertionError: at the end, if anything sent or answered broke GitHub's description.
    """
    server = _Server(("127.0.0.1", 0), _Wire)
    server.fake, server.lock = FakeGitHub(world), threading.RLock()
    server.fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.fake
    finally:
        server.shutdown()
        server.server_close()
    assert world.broken == [], json.dumps(world.broken, indent=1)
