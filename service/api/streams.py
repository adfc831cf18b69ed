"""Server-sent events: something at once, again whenever it changes, and an end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import HTTPException
from fastapi.responses import StreamingResponse

from service.db.failures import NOT_NOW

MOST_STREAMS = 32
"""Callers that follow something at once, in this process."""
LONGEST_S = 600.0
"""An EventSource connects again by itself."""
_POLL_S = 1.0
_SIGN_OF_LIFE_S = 15.0
_T = TypeVar("_T")


async def follow(
    read: Callable[[], _T], *, is_over: Callable[[_T], bool], show: Callable[[_T], str],
    streams: anyio.CapacityLimiter,
) -> StreamingResponse:  # fmt: skip
    """Stream what ``read`` says, in a thread, each second; unchanged it is not said again.

    Args:
        show: one event, as the protocol writes it.

    Raises:
        HTTPException: what the first reading raises; 503: too many follow already.
    """
    first = await anyio.to_thread.run_sync(read)
    if streams.available_tokens < 1:
        raise HTTPException(503, f"{MOST_STREAMS} callers follow jobs already", {"Retry-After": "30"})

    async def events() -> AsyncIterator[str]:
        async with streams:
            present, ends, said_at = first, time.monotonic() + LONGEST_S, time.monotonic()
            yield show(present)
            while not is_over(present) and time.monotonic() < ends:
                await anyio.sleep(_POLL_S)
                news = present
                try:
                    with contextlib.suppress(*NOT_NOW):  # away for a moment
                        news = await anyio.to_thread.run_sync(read)
                except HTTPException:  # forgotten with its repository
                    return
                if news != present:
                    present, said_at = news, time.monotonic()
                    yield show(present)
                elif time.monotonic() - said_at > _SIGN_OF_LIFE_S:
                    said_at = time.monotonic()
                    yield ": still here\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
