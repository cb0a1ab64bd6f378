"""Serving a simulated system on a socket."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

from waitress.server import create_server

from replicator.sandbox.system import Sandbox


class Server:
    """A running server; ``close`` ends it but leaves the sandbox and its state."""

    def __init__(self, sandbox: Sandbox, host: str, port: int) -> None:
        self._map: dict[int, Any] = {}
        server: Any = create_server(
            sandbox.wsgi,
            host=host,
            port=port,
            threads=8,
            map=self._map,
            ident="sandbox",
            max_request_body_size=1 << 28,
            clear_untrusted_proxy_headers=True,
        )
        self._server = server
        self.port = int(self._server.effective_port)
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._run, name=f"sandbox-{sandbox.system}", daemon=True)
        self._thread.start()

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


def serve(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> Server:
    """Serve a sandbox in a thread of its own; port 0 takes a free one."""
    return Server(sandbox, host, port)
