"""One request and its answer: no proxies, no redirects, a deadline for the whole, and the peer's address checked.

``http.client`` alone: libraries that follow redirects or read proxies from the environment could take notes elsewhere.
"""

from __future__ import annotations

import http.client
import ssl
import time
from typing import NamedTuple

from nosology.endpoint.failures import EndpointError
from nosology.endpoint.hosts import Server, is_private_address

_MOST_BYTES = 16 * 1024 * 1024
_PIECE = 64 * 1024


class Reply(NamedTuple):
    """What a server answered.

    Args:
        status: of HTTP.
        body: as sent.
        retry_after: seconds that the server asks to wait, if it does.
    """

    status: int
    body: bytes
    retry_after: float | None


class NoReplyError(Exception):
    """Nothing whole came back; says why, in words that are ours."""


def post(server: Server, body: bytes, key: str | None, timeout_seconds: float) -> Reply:
    """Send JSON to ``/chat/completions``.

    Raises:
        NoReplyError: time-out, no connection, or an answer that breaks off or is too large.
        EndpointError: the host's name leads to a public address that is not allowed.
    """
    deadline = time.monotonic() + timeout_seconds
    connection = _connection(server, timeout_seconds)
    try:
        connection.connect()
        _check_peer(connection, server)
        connection.request("POST", f"{server.path}/chat/completions", body, _headers(key))
        response = connection.getresponse()
        return Reply(response.status, _read(response, connection, deadline), _retry_after(response))
    except TimeoutError:
        raise NoReplyError("time-out") from None
    except ssl.SSLError:
        raise NoReplyError("no secure connection") from None
    except OSError:
        raise NoReplyError("no connection") from None
    except http.client.HTTPException:
        raise NoReplyError("no whole answer") from None
    finally:
        connection.close()


def _connection(server: Server, timeout: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if server.secure else http.client.HTTPConnection
    return kind(server.host, server.port, timeout=timeout)


def _check_peer(connection: http.client.HTTPConnection, server: Server) -> None:
    """A private-looking name can lead anywhere."""
    address = str(connection.sock.getpeername()[0])
    if not server.allow_public and not is_private_address(address):
        raise EndpointError(f"the endpoint's host {server.host!r} leads to a public address; see allow_public")


def _headers(key: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept": "application/json", "Connection": "close"}
    return headers if key is None else {**headers, "Authorization": f"Bearer {key}"}


def _read(response: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float) -> bytes:
    """The body; a server that sends drop by drop meets the deadline, too."""
    pieces, size = list[bytes](), 0
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if connection.sock is not None:  # pyright: ignore[reportUnnecessaryComparison]  # gone where the server closes
            connection.sock.settimeout(left)
        piece = response.read1(_PIECE)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        if size > _MOST_BYTES:
            raise NoReplyError("an answer too large")
    if response.length:  # fewer bytes than announced
        raise NoReplyError("no whole answer")
    return b"".join(pieces)


def _retry_after(response: http.client.HTTPResponse) -> float | None:
    value = response.getheader("Retry-After", "")
    return float(value) if value.isascii() and value.isdigit() else None
