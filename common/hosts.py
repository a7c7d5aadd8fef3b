"""Which hosts are this machine."""

import ipaddress


def is_loopback(host: str) -> bool:
    """True where only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
