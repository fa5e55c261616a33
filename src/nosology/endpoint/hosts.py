"""Which servers notes may go to: this machine and private networks, others only when a recipe says so."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from nosology.endpoint.failures import EndpointError

_PRIVATE = tuple(
    ip_network(network)
    for network in (
        *("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)
_PRIVATE_ENDINGS = (".localhost", ".local", ".internal")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Server:
    """A checked address.

    Args:
        secure: https.
        host, port: where it listens.
        path: what stands before ``/chat/completions``, without a slash at its end.
        allow_public: the address behind the host's name may be a public one.
    """

    secure: bool
    host: str
    port: int
    path: str
    allow_public: bool


def check_url(url: str, *, allow_public: bool) -> Server:
    """The server of a URL.

    Args:
        url: http or https, a host, perhaps a port and a path; nothing else.
        allow_public: whether it may be any host.

    Raises:
        EndpointError: the URL is no such one, or its host is public and not allowed.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in _PORTS or not host or not _is_plain(parts.path):
        raise EndpointError("the endpoint's url must look like http://127.0.0.1:8000/v1")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise EndpointError("the endpoint's url must hold no user, key or query; keys come from the environment")
    if not is_private_host(host):
        _check_public(host, parts.scheme, allow_public)
    port = _PORTS[parts.scheme] if port is None else port
    return Server(parts.scheme == "https", host, port, parts.path.rstrip("/"), allow_public)


def is_private_host(host: str) -> bool:
    """Whether a name or address is this machine's or of a private network, by what it looks like."""
    try:
        return is_private_address(host)
    except ValueError:
        name = host.lower()
        return name == "localhost" or name.endswith(_PRIVATE_ENDINGS)


def is_private_address(address: str) -> bool:
    """Whether an IP address is loopback, private or link-local.

    Raises:
        ValueError: it is no IP address.
    """
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found.version == network.version and found in network for network in _PRIVATE)


def _check_public(host: str, scheme: str, allow_public: bool) -> None:
    if not allow_public:
        raise EndpointError(
            f"the endpoint's host {host!r} is public, and notes would leave your network; "
            "set allow_public = true (a probe: --allow-public) if they may"
        )
    if scheme != "https":
        raise EndpointError(f"the endpoint's host {host!r} is public: use https")


def _is_plain(path: str) -> bool:
    return all("!" <= char <= "~" for char in path)
