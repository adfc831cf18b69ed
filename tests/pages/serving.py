"""The API as a process would run it, in a thread, for a browser to visit."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from service.api.app import create_app
from service.api.limits import Buckets
from service.api.parts import Parts
from service.artifacts import ArtifactStore
from service.db.migrate import upgrade
from service.db.queries.tokens import create_token
from service.db.session import Database, connect
from service.db.states import Role
from service.settings import Settings


@dataclass(frozen=True)
class Served:
    """A running service. secret: of an administrator's token."""

    url: str
    database: Database
    store: ArtifactStore
    secret: str

    def sign_in(self, page: Any) -> None:
        """By the form, as a person does."""
        page.goto(f"{self.url}/signin")
        page.fill("input[name=token]", self.secret)
        page.click("main button")
        page.wait_for_url(f"{self.url}/")


@contextmanager
def serving(home: Path) -> Iterator[Served]:
    """A service on a home, with a database of its own."""
    database = connect(Settings(home=home))
    upgrade(database)
    with database.writing() as session:
        _, secret = create_token(session, "browser", Role.ADMIN)
    store = ArtifactStore(home)
    parts = Parts(database, 1_000_000, store=store, forget=lambda *_: None, buckets=Buckets(600_000, 100_000))
    config = uvicorn.Config(create_app(parts), host="127.0.0.1", port=0, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield Served(f"http://127.0.0.1:{port}", database, store, secret)
    finally:
        server.should_exit = True
        thread.join(10)
        database.close()


class Guest:
    """A signed-in browser.

    Attributes:
        problems: what the console or a script complained of, and every request to another place.
    """

    def __init__(
        self, browser: Any, served: Served, *, width: int = 1440, scheme: str = "light", script: bool = True
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
        )
        self.page, self.served, self.problems = self.context.new_page(), served, []
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("request", self._note)
        served.sign_in(self.page)

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.served.url, "data:", "blob:")):
            self.problems.append(f"request: {request.url}")

    def go(self, address: str) -> Any:
        self.page.goto(self.served.url + address)
        return self.page

    def look(self, address: str) -> None:
        """Nothing overflows with every detail open, and nothing complains."""
        page = self.go(address)
        for part in page.query_selector_all("details > summary"):
            part.click()
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, (address, wide)
        assert self.problems == [], address

    def close(self) -> None:
        self.context.close()


SIZES = [(360, "light"), (768, "dark"), (1440, "light"), (360, "dark"), (768, "light"), (1440, "dark")]
