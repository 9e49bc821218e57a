"""How a server is trusted that a kernel reaches beside it."""

from __future__ import annotations

import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from coder_nb.errors import ConnectionLost


def pinned(certificate: str) -> ssl.SSLContext:
    """Trusts a server that proves to have this very certificate, and no other, whatever name it is reached by.

    A server's certificate names the host that browsers see, while a kernel beside it comes by loopback. Raises
    `ConnectionLost` where it cannot be read.
    """
    end = "-----END CERTIFICATE-----"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        text = Path(certificate).read_text(encoding="ascii", errors="ignore")
        own = text[text.find("-----BEGIN CERTIFICATE-----") : text.find(end) + len(end)]  # not those that signed it
        context.load_verify_locations(cadata=own)
    except (OSError, ValueError) as error:
        raise ConnectionLost(
            f"The Jupyter server's certificate {certificate} cannot be read ({error}): make it a PEM file that you may "
            "read, then restart the kernel."
        ) from error
    return context


def is_loopback(url: str) -> bool:
    """Whether an address never leaves this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
