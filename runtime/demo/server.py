"""The server of `amc-demo`, on 127.0.0.1 alone."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ..errors import InputError
from .local_routes import LocalRoutes
from .offered_models import OfferedModels
from .options import DemoOptions
from .visitors import Visitors

_HOST = "127.0.0.1"
_ENVIRONMENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def serve(options: DemoOptions, ready: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C; `ready(address)` is called when it can be opened.

    All files of visitors are in a temporary folder, which is removed at the end. Raises the errors of `Segmenter.load`,
    and InputError if the port is taken.
    """
    with (
        _listen(options.port) as listening,
        tempfile.TemporaryDirectory(prefix="amc-demo-") as folder,
        OfferedModels(options) as models,
        closing(Visitors(Path(folder))) as visitors,
    ):
        # Before gradio is imported, which reads these.
        os.environ |= _ENVIRONMENT | {"GRADIO_TEMP_DIR": folder}
        import gradio
        import uvicorn
        from fastapi import FastAPI
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from .page import make_page

        app = gradio.mount_gradio_app(
            FastAPI(openapi_url=None),
            make_page(models, visitors, options),
            "/",
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=options.max_mib * 2**20,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=gradio.themes.Default(font="system-ui", font_mono="monospace"),
        )
        app.add_middleware(LocalRoutes)
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[_HOST, "localhost"])  # against DNS rebinding
        ready(f"http://{_HOST}:{listening.getsockname()[1]}")
        # Open pages hold connections. At the end uvicorn would wait for them, or log each that it cancels as an error;
        # errors of the page's own functions are printed by gradio.
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except (OSError, OverflowError) as error:
        raise InputError(f"cannot listen on port {port}: {error}. Fix: amc-demo --port N with another one") from error
