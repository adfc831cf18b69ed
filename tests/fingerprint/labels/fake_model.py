"""A local server that speaks the protocol of language models and remembers what it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from fingerprint.endpoint import Endpoint


class FakeModel:
    """A server whose answers are set beforehand, one a request: (status, content).

    Args:
        thinks: content from the last message, once no answers are left.
    """

    def __init__(self, thinks: Callable[[str], str] | None = None) -> None:
        self.answers: list[tuple[int, str]] = []
        self.requests: list[tuple[str, str, dict]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.requests.append((self.path, self.headers.get("Authorization", ""), body))
                asked = body["messages"][-1]["content"]
                status, content = (
                    fake.answers.pop(0) if thinks is None or fake.answers else (200, thinks(asked))
                )
                answer = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def endpoint(self) -> Endpoint:
        url = f"http://127.0.0.1:{self.server.server_address[1]}/v1/"
        return Endpoint(url, "tiny-model", "secret", timeout_s=5, wait_s=0.0)

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
