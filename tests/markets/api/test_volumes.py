"""Files of delivered volumes: each DSRSP its own, the platform all, nobody else any."""

from tests.walls.world import mark

PATH = "/api/v1/delivered-volume-files/"


def files(client, **query) -> list[dict]:
    response = client.get(PATH, query)
    assert response.status_code == 200, response.content
    return response.json()["results"]


class TestVolumeFiles:
    def test_lists_a_dsrsp_s_own(self, client_of):
        (own,) = files(client_of("alpha"))
        assert (own["dsrsp"], own["sequence"], own["total_mwh"]) == ("alpha", 1, "0.0031")
        assert files(client_of("alpha"), settlement_date="2026-01-13") == []

    def test_lists_all_for_the_platform_and_none_for_others(self, client_of):
        assert {one["dsrsp"] for one in files(client_of("platform"))} == {"alpha", "beta", "gamma"}
        for code in ("north", "market"):
            assert client_of(code).get(PATH).status_code == 403

    def test_shows_volumes_and_what_suppliers_are_settled_on(self, client_of):
        client = client_of("alpha")
        shown = client.get(f"{PATH}{files(client)[0]['id']}/").json()
        assert [(one["period"], one["deviation_kwh"], one["filed_mwh"]) for one in shown["volumes"]] == [
            (37, "3.1000", "0.0031")
        ]
        assert [one["supplier_id"] for one in shown["boundaries"]] == [mark("volume", "alpha")]

    def test_hands_out_the_bytes_as_built(self, client_of):
        client = client_of("alpha")
        (own,) = files(client)
        sent = client.get(f"{PATH}{own['id']}/file/", headers={"Accept": "text/plain"})
        assert sent.content == f"ZHD|{mark('volume', 'alpha')}|\n".encode()
        assert sent.headers["ETag"] == f'"{own["sha256"]}"'

    def test_hides_another_s(self, client_of):
        (own,) = files(client_of("alpha"))
        for tail in ("", "file/"):
            assert client_of("beta").get(f"{PATH}{own['id']}/{tail}").status_code == 404
