"""A worker's name: unique by host, queues and a locked file, and the same again after a restart."""

from __future__ import annotations

import fcntl
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path

from service import ServiceError

MOST_SLOTS = 1024


@dataclass(frozen=True)
class ExecutorName:
    """A name that this process holds for as long as it lives.

    Two processes of one name would both run the jobs that a dead one of that name left (the engine recovers
    by name at start), so the name is tied to a locked file. A restarted worker takes the first free slot,
    most likely its old one, and finds its own unfinished jobs at once.
    """

    id: str
    host: str
    lock: TextIOWrapper

    def release(self) -> None:
        """Let another process have the name."""
        self.lock.close()


def claim_name(home: Path, queues: Sequence[str]) -> ExecutorName:
    """Take the first free name for a worker of these queues on this host.

    Raises:
        ServiceError: every slot is taken.
    """
    directory = home / "executors"
    directory.mkdir(parents=True, exist_ok=True)
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()) or "host"
    for slot in range(MOST_SLOTS):
        name = f"{host}-{'+'.join(queues)}-{slot}"
        lock = (directory / name).open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return ExecutorName(f"{name}-{_mark_of(lock)}", host, lock)
    raise ServiceError(f"{MOST_SLOTS} workers of {host} listen to {', '.join(queues)}; stop some of them")


def _mark_of(lock: TextIOWrapper) -> str:
    """What tells this slot from one of the same name in another container; its first holder writes it."""
    lock.seek(0)
    mark = lock.read().strip()
    if not mark:
        mark = secrets.token_hex(4)
        lock.write(mark)
        lock.flush()
    return mark
