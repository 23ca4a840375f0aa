"""A filter in front of the page: the routes that it needs, and no address for the server to fetch."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

# Without gradio's proxy, run history, monitoring and other routes, some of which connect to other machines.
_ROUTES = re.compile(
    r"/(|config/?|theme\.css|favicon\.ico|manifest\.json|(assets|static|svelte)/.+"
    r"|gradio_api/(startup-events|theme\.css|heartbeat/\w+|upload|upload_progress|queue/(join|data)/?|run/predict|cancel/?|reset/?"
    r"|file=(?!\w+:).+))"
)
_EVENTS = ("/gradio_api/queue/join", "/gradio_api/run/")
_MOST_BYTES = 1 << 20  # of the description of an event

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class LocalRoutes:
    """ASGI middleware that answers 403 to other routes, and to events with a file at an address (`https://...`)."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        allowed = _ROUTES.fullmatch(path) is not None
        if allowed and path.startswith(_EVENTS):
            body = await _read(receive)
            allowed = body is not None and not _has_address(body)
            receive = _replay(body or b"")
        if allowed:
            await self._app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"this address is not part of the page\n"})


async def _read(receive: Receive) -> bytes | None:
    """The whole body of a request; None if it is too long or ends early."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _MOST_BYTES or message["type"] != "http.request":
            return None
    return body


def _replay(body: bytes) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _has_address(body: bytes) -> bool:
    """Whether a file in the JSON text has a path such as https://host/x, which gradio would download."""
    try:
        waiting = [json.loads(body)]
    except ValueError:
        return True
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and re.match(r"\s*\w+:", path):
                return True
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False
