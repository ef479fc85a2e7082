import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest
import time_machine
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice
from oauth2_provider.models import get_application_model

from aggregator.models import MachineClient, Membership
from markets.services.demo_file import DemoFile, LogIn, people_part, read_demo_file, write_demo_file
from markets.services.demo_people import (
    PEOPLE,
    NoSuchDemoPerson,
    demo_code,
    register_demo_organisations,
    seed_log_ins,
)

NOW = datetime(2026, 1, 15, 12, 0, 5, tzinfo=UTC)
N_PERSON = 9


@pytest.fixture
def path(tmp_path: Path, db: None, site: None) -> Path:
    return tmp_path / "var" / "demo-logins.txt"


def seed(path: Path) -> int:
    return seed_log_ins(organisations=register_demo_organisations(), path=path, now=NOW)


def may_log_in(name: str, password: str) -> bool:
    return User.objects.get(username=name).check_password(password)


def token_answer(client_id: str, secret: str):
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return Client().post("/api/v1/token/", urlencode(form), content_type="application/x-www-form-urlencoded")


class TestSeedLogIns:
    def test_lets_each_person_in_with_the_password_of_the_file(self, path):
        assert seed(path) == N_PERSON
        people = read_demo_file(path).people
        assert sorted(people) == sorted(person.name for person in PEOPLE)
        assert len({person.password for person in people.values()}) == N_PERSON
        for name, person in people.items():
            assert len(person.password) >= 16
            assert may_log_in(name, person.password)
            assert not may_log_in(name, person.password[:-1])

    def test_gives_each_audience_its_role(self, path):
        seed(path)
        roles = {
            membership.user.username: (membership.role, membership.organisation.kind)
            for membership in Membership.objects.select_related("user", "organisation")
        }
        assert roles == {
            "amber.operator": ("operator", "dsrsp"),
            "amber.admin": ("admin", "dsrsp"),
            "tern.operator": ("operator", "dsrsp"),
            "northmoor.control": ("control_room_operator", "dno"),
            "northmoor.supervisor": ("control_room_supervisor", "dno"),
            "moorside.market": ("market_operator", "market_operator"),
            "moorside.second": ("market_operator", "market_operator"),
            "platform.admin": ("platform_admin", "platform"),
            "auditor": ("auditor", "platform"),
        }
        assert not get_user_model().objects.filter(is_superuser=True).exists()

    def test_keeps_the_file_to_its_owner(self, path):
        seed(path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    def test_changes_nothing_the_second_time(self, path):
        seed(path)
        before, hashes = path.read_bytes(), set(get_user_model().objects.values_list("password"))
        devices = set(TOTPDevice.objects.values_list("pk", "key"))
        assert seed(path) == 0
        assert path.read_bytes() == before
        assert set(get_user_model().objects.values_list("password")) == hashes
        assert set(TOTPDevice.objects.values_list("pk", "key")) == devices
        assert MachineClient.objects.count() == 3

    def test_takes_the_file_into_a_new_database(self, path):
        seed(path)
        before = path.read_bytes()
        get_user_model().objects.all().delete()
        get_application_model().objects.all().delete()
        assert seed(path) == N_PERSON
        assert path.read_bytes() == before
        for name, person in read_demo_file(path).people.items():
            assert may_log_in(name, person.password)
            assert TOTPDevice.objects.get(user__username=name).key == person.key
            assert set(StaticToken.objects.filter(device__user__username=name).values_list("token", flat=True)) == set(
                person.recovery
            )

    def test_renews_what_nobody_knows_any_more(self, path):
        seed(path)
        lost = read_demo_file(path)
        path.unlink()
        assert seed(path) == N_PERSON
        found = read_demo_file(path)
        for name, person in found.people.items():
            assert may_log_in(name, person.password)
            assert not may_log_in(name, lost.people[name].password)
            assert [device.key for device in TOTPDevice.objects.filter(user__username=name)] == [person.key]
        for code, secret in found.clients.items():
            assert token_answer(f"demo-{code}", secret).status_code == 200
            assert token_answer(f"demo-{code}", lost.clients[code]).status_code == 401

    def test_completes_a_file_of_before_without_changing_its_passwords(self, path):
        seed(path)
        kept = read_demo_file(path).people
        TOTPDevice.objects.all().delete()
        path.write_text(people_part(path.read_text()) + "\n")
        assert not any(person.secret for person in read_demo_file(path).people.values())

        assert seed(path) == N_PERSON

        found = read_demo_file(path).people
        assert {name: person.password for name, person in found.items()} == {
            name: person.password for name, person in kept.items()
        }
        assert all(len(person.recovery) == 5 for person in found.values())

    def test_gives_the_dsrsps_and_the_dno_an_api_client(self, path):
        seed(path)
        clients = read_demo_file(path).clients
        assert set(clients) == {"amber-vale", "tern-hollow", "northmoor-networks"}
        scopes = {
            code: set(token_answer(f"demo-{code}", secret).json()["scope"].split()) for code, secret in clients.items()
        }
        assert "fleet:write" in scopes["amber-vale"]
        assert "dispatch:write" not in scopes["amber-vale"]
        assert "dispatch:write" in scopes["northmoor-networks"]

    def test_is_enough_for_a_newcomer_to_get_in(self, path):
        seed(path)
        log_in = read_demo_file(path).people["amber.operator"]
        client = Client()
        with time_machine.travel(NOW, tick=False):
            client.post("/login/", {"username": "amber.operator", "password": log_in.password})
            code, seconds = demo_code(name="amber.operator", path=path, now=NOW)
            assert seconds == 25
            assert client.post("/login/code/", {"code": code}).status_code == 302
            assert client.get("/account/").status_code == 200
            other = Client()
            other.post("/login/", {"username": "amber.operator", "password": log_in.password})
            assert other.post("/login/code/", {"code": log_in.recovery[2]}).status_code == 302


class TestDemoCode:
    def test_is_printed_by_the_command(self, path, settings, capsys):
        settings.VAR_DIR = path.parent
        seed(path)
        call_command("demo_code", "auditor")

        assert re.fullmatch(r"[0-9]{6} \(for [0-9]{1,2} s\)\n", capsys.readouterr().out)

    def test_changes_every_half_minute(self, path):
        seed(path)
        codes = {demo_code(name="auditor", path=path, now=NOW + timedelta(seconds=30 * step))[0] for step in range(5)}
        assert len(codes) >= 4

    @pytest.mark.parametrize("name", ["ada", ""])
    def test_is_for_the_people_of_the_file_only(self, path, name):
        User.objects.create_user("ada")
        seed(path)
        with pytest.raises(NoSuchDemoPerson):
            demo_code(name=name, path=path, now=NOW)


class TestReadDemoFile:
    def test_finds_nothing_in_no_file(self, tmp_path):
        assert read_demo_file(tmp_path / "nothing.txt") == DemoFile()

    def test_reads_back_what_was_written(self, tmp_path):
        kept = DemoFile(
            people={
                "a.very-long.name-indeed": LogIn("p-_2", "A" * 32, ("abcdefg2", "bcdefg23")),
                "b": LogIn("q" * 40, "B" * 32, ("cdefg234",)),
            },
            clients={"amber-vale": "s-_3"},
        )
        roles = {"a.very-long.name-indeed": "Operator, Amber  Vale", "b": "Auditor"}
        write_demo_file(tmp_path / "f", kept, roles=roles, organisations={"amber-vale": "Amber Vale"})

        assert read_demo_file(tmp_path / "f") == kept
        assert people_part((tmp_path / "f").read_text()).count("\n") == 2
