"""How a client gets to a host: TLS, and the proxies of the environment; over sockets that end with the exchange."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import httpcore2
import httpx2
from httpcore2._backends.sync import SyncStream
from httpx2._utils import get_environment_proxies

from replicator.errors import ConfigurationError
from replicator.exchange_limits import TlsSocket, connect

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def tls() -> ssl.SSLContext:
    """A context that checks certificates, and whose sockets end with the exchange. Raises ConfigurationError."""
    try:
        context = httpx2.create_ssl_context()
    except OSError as problem:  # SSLError is one
        said = ", ".join(f"{name}={os.environ[name]}" for name in _CERTIFICATES if name in os.environ)
        raise ConfigurationError(
            f"the certificates to check systems by cannot be read ({said or 'those of this machine'}): {problem}",
            hint=f"give {' or '.join(_CERTIFICATES)} a file or folder of certificates, or take it back",
        ) from problem
    # Where the system's own store of certificates is asked, a context within the context makes the sockets.
    getattr(context, "_ctx", context).sslsocket_class = TlsSocket
    return context


class _Backend(httpcore2.SyncBackend):
    """The network as the HTTP library sees it, with our sockets."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            made = connect(host, port, timeout, None if local_address is None else (local_address, 0))
            for option in (*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
                made.setsockopt(*option)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore2.ConnectError(error) from error
        return SyncStream(made)


@dataclass(frozen=True)
class Ways:
    """How a client gets to one host: directly, or by the proxies that the environment names."""

    transport: httpx2.BaseTransport
    mounts: dict[str, httpx2.BaseTransport | None]


def ways_to(url: str, transport: httpx2.BaseTransport | None = None) -> Ways:
    """The transports for a client of ``url``; a ``transport`` that is given stands for all of them.

    Raises httpx2.InvalidURL where that is no address.
    What is on this machine is never asked for through a proxy, whatever the environment says.
    """
    if transport is not None:
        return Ways(transport, {})
    context = tls()
    proxies = {} if is_loopback(httpx2.URL(url).host) else get_environment_proxies()
    mounts = {pattern: None if proxy is None else _transport(context, proxy) for pattern, proxy in proxies.items()}
    return Ways(_transport(context), mounts)


def _transport(context: ssl.SSLContext, proxy: str | None = None) -> httpx2.BaseTransport:
    by_tls = proxy is not None and httpx2.URL(proxy).scheme == "https"
    by = None if proxy is None else httpx2.Proxy(proxy, ssl_context=context if by_tls else None)
    made = httpx2.HTTPTransport(verify=context, proxy=by)
    # The HTTP library has no public way to give it a network of one's own.
    made._pool._network_backend = _Backend()
    return made


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
