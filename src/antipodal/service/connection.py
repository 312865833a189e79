"""A connection that may not be held open in silence: head and answer of a request have as long as its body has."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol


def impatient(seconds: float) -> type[H11Protocol]:
    """uvicorn's protocol, that ends a connection which is this long about a request's head or about reading an answer.

    uvicorn itself ends only what stays silent after an answer, and holds what nobody reads for ever. Sockets count
    against its limit, and cost no key.
    """

    class Impatient(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            transport.set_write_buffer_limits(0)  # paused = the caller has not read yet
            self._wait()

        def data_received(self, data: bytes) -> None:
            before = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._stop()
            elif self._deadline is None and (before is None or before.response_complete):
                self._wait()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._was_read()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop()
            self._was_read()
            super().connection_lost(exc)

        def _wait(self) -> None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _was_read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

    return Impatient
