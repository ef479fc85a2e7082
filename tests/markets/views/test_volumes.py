"""The page of delivered volumes and its downloads."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from markets.models import DeliveredVolumeFile
from tests.people import log_in

pytestmark = pytest.mark.usefixtures("site")


@pytest.fixture
def person(world):
    return lambda name: log_in(Client(), User.objects.get(username=name))


class TestVolumes:
    @pytest.fixture
    def file(self, world) -> DeliveredVolumeFile:
        return DeliveredVolumeFile.objects.for_tenant(world.organisations["alpha"]).get()

    def test_shows_files_and_hands_them_out(self, person, file):
        page = person("alpha.operator").get("/volumes/")
        assert page.status_code == 200
        assert file.sha256 in page.content.decode()
        sent = person("alpha.operator").get(f"/volumes/{file.pk}.txt")
        assert sent.content == bytes(file.content)
        assert "P0282002_alpha_20260114_0000000001.txt" in sent.headers["Content-Disposition"]

    def test_says_where_there_is_none(self, person):
        page = person("alpha.operator").get("/volumes/?day=2026-01-13")
        assert "No file was built for this settlement date." in page.content.decode()

    def test_is_not_there_for_others(self, person, file):
        assert person("beta.admin").get(f"/volumes/{file.pk}.txt").status_code == 404
        assert person("north.supervisor").get("/volumes/").status_code == 403
        assert person("market.operator").get(f"/volumes/{file.pk}.txt").status_code == 403
