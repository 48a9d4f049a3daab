"""The page on a port of this machine: nothing else is served, nothing comes from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from stemob_wrappers.explore.blocks import gr
from stemob_wrappers.explore.page_look import CSS
from stemob_wrappers.extras import needs

with needs("app"):
    from gradio.themes import Default
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import PlainTextResponse

LOCAL = "127.0.0.1"
# What the page itself asks for. Gradio has routes for files, uploads and proxies beside these.
PATHS = re.compile(
    r"/|/(config|favicon\.ico|manifest\.json|theme\.css|robots\.txt)"
    r"|/(assets|static)/.*"
    r"|/gradio_api/(info|startup-events|theme\.css|run/predict|queue/(join|data)|heartbeat/\w+)"
)
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'self'"
)


def serve(page: gr.Blocks, host: str = LOCAL, port: int | None = None) -> str:
    """Start serving a page in threads of its own, and return its address.

    Args:
        page: a page that `blocks.build_page` built; its ``close()`` ends it.
        host: address to listen at. With :data:`LOCAL` only programs on this machine reach it, and
            only under a local name, so that no web page elsewhere can speak to it.
        port: to listen at; None takes the first free one from 7860.

    Raises:
        OSError: the port is taken, or there is no such address.
    """
    layers = [Middleware(OnlyThePage)]
    if host == LOCAL:
        layers.insert(0, Middleware(TrustedHostMiddleware, allowed_hosts=[LOCAL, "localhost"]))
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        app_kwargs={"middleware": layers},
        theme=Default(font="system-ui", font_mono="ui-monospace"),
        css=CSS,
    )
    return address


class OnlyThePage:
    """Answers 404 for what the page does not need, and tells browsers to load nothing else."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and not PATHS.fullmatch(scope["path"]):
            await PlainTextResponse("not found", status_code=404)(scope, receive, send)
            return

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (b"content-security-policy", POLICY.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self.app(scope, receive, send_with_policy)
