"""Serving a WSGI application on a socket, in a thread of its own."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from waitress.server import create_server

from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class Server:
    """A running server. Port 0 takes a free one; ``name`` is for its thread, its answers and its errors."""

    def __init__(self, app: WSGIApplication, name: str, host: str, port: int, *, largest: int = 1 << 20) -> None:
        self._map: dict[int, Any] = {}
        try:
            server: Any = self._listen(app, name, host, port, largest)
        except OSError as problem:
            raise ConfigurationError(
                f"port {port} for {name} cannot be used: {problem.strerror}", hint="choose another, or 0"
            ) from problem
        self._server = server
        self.port = int(server.effective_port)
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _listen(self, app: WSGIApplication, name: str, host: str, port: int, largest: int) -> object:
        return create_server(
            app,
            host=host,
            port=port,
            threads=8,
            map=self._map,
            ident=name,
            max_request_body_size=largest,
            clear_untrusted_proxy_headers=True,
        )

    def _run(self) -> None:
        try:
            self._server.run()
        except OSError:
            if self._map:  # closed under a waiting select is the way out, anything else is not
                raise

    def close(self) -> None:
        """Stop listening and end the thread."""
        self._server.trigger.pull_trigger(self._shut)
        self._thread.join(timeout=10)

    def _shut(self) -> None:
        for channel in list(self._map.values()):
            channel.close()
        self._map.clear()
        self._server.task_dispatcher.shutdown(timeout=2)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
