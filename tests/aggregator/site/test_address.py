import pytest
from django.test import RequestFactory

from aggregator.site.address import client_address


def address(remote: str, forwarded: str | None = None) -> str | None:
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    return client_address(RequestFactory().get("/", REMOTE_ADDR=remote, headers=headers))


class TestClientAddress:
    @pytest.mark.parametrize("forwarded", [None, "198.51.100.9", "1.1.1.1, 198.51.100.9"])
    def test_is_the_connections_own_and_no_hearsay(self, forwarded):
        assert address("192.0.2.7", forwarded) == "192.0.2.7"

    @pytest.mark.parametrize(
        ("forwarded", "expected"),
        [
            ("198.51.100.9", "198.51.100.9"),
            ("1.1.1.1, 198.51.100.9", "198.51.100.9"),
            ("x,2001:DB8::1 ", "2001:db8::1"),
            (None, "192.0.2.7"),
            ("", "192.0.2.7"),
            ("198.51.100.9, not an address", None),
        ],
    )
    def test_is_what_the_proxy_added_behind_it(self, settings, forwarded, expected):
        settings.BEHIND_TLS_PROXY = True

        assert address("192.0.2.7", forwarded) == expected

    def test_of_a_socket_of_this_machine_is_none(self):
        assert address("") is None
