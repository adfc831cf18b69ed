"""A fake GitHub on a local port, and the app that speaks to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from connectors.github.app import App, AppKey
from connectors.github.client import Client, Dials
from tests.contract.github.fake import FakeGitHub
from tests.contract.github.server import serving
from tests.contract.github.world import APP_ID, Pull, Repo, World, private_key

HEAD, BASE = "a" * 40, "b" * 40


@dataclass
class Bench:
    """The fake, its world, and a connected app that does not sleep but writes down for how long it would."""

    fake: FakeGitHub
    world: World
    app: App
    waits: list[float] = field(default_factory=list)

    def repo(self, name: str = "acme/rocket", **known) -> Repo:
        name = self.world.renamed.get(name, name)
        repo = self.world.repos.get(name) or self.world.add_repo(name, **known)
        repo.pulls.setdefault(1, Pull(1, HEAD, BASE))
        return repo

    def client(self, repo: Repo | None = None) -> Client:
        """An installation's client for one repository."""
        repo = repo or self.repo()
        installation = next(i for i in self.world.installations.values() if i.account == repo.owner)
        return self.app.installation_client(installation.id, (repo.id,))

    def requests(self, verb: str, ending: str = "") -> list[int]:
        """Statuses of the requests made with a verb to paths that end so."""
        return [s for v, path, s in self.world.log if v == verb and path.endswith(ending)]


@contextmanager
def connected() -> Iterator[Bench]:
    """A bench; at the end it fails if anything broke GitHub's description."""
    world = World()
    with serving(world) as fake:
        waits: list[float] = []
        dials = Dials(url=fake.url, timeout_s=5, write_pause_s=0.0, backoff_s=0.01)
        app = App(AppKey(APP_ID, private_key()), dials, clock=lambda: world.now, sleep=waits.append)
        yield Bench(fake, world, app, waits)
