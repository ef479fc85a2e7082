"""Where a request comes from, for the count of wrong answers (``settings.AXES_CLIENT_IP_CALLABLE``)."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str | None:
    """The address the connection comes from, or behind the TLS proxy the last one it names: those before are hearsay.

    Through the proxy's own address everybody would be one, and a stranger could lock out whom they can name.
    """
    found = request.META.get("REMOTE_ADDR", "")
    if settings.BEHIND_TLS_PROXY:
        found = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or found
    try:
        return str(ip_address(found))
    except ValueError:
        return None  # a socket of this machine has none
