from pathlib import Path

import pytest
from django.contrib.auth import authenticate, get_user_model

from aggregator.models import Membership
from markets.services.demo_people import PEOPLE, read_log_ins, register_demo_organisations, seed_log_ins


@pytest.fixture
def path(tmp_path: Path, db: None, settings) -> Path:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return tmp_path / "var" / "demo-logins.txt"


def seed(path: Path) -> int:
    return seed_log_ins(organisations=register_demo_organisations(), path=path)


class TestSeedLogIns:
    def test_lets_each_person_in_with_the_password_of_the_file(self, path):
        assert seed(path) == 6
        passwords = read_log_ins(path)
        assert sorted(passwords) == sorted(person.name for person in PEOPLE)
        assert len(set(passwords.values())) == 6
        for name, password in passwords.items():
            assert len(password) >= 16
            assert authenticate(username=name, password=password) is not None
            assert authenticate(username=name, password=password[:-1]) is None

    def test_gives_each_audience_its_role(self, path):
        seed(path)
        roles = {
            membership.user.username: (membership.role, membership.organisation.kind)
            for membership in Membership.objects.select_related("user", "organisation")
        }
        assert roles == {
            "amber.operator": ("operator", "dsrsp"),
            "tern.operator": ("operator", "dsrsp"),
            "northmoor.control": ("control_room_operator", "dno"),
            "moorside.market": ("market_operator", "market_operator"),
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
        assert seed(path) == 0
        assert path.read_bytes() == before
        assert set(get_user_model().objects.values_list("password")) == hashes

    def test_takes_the_passwords_of_the_file_into_a_new_database(self, path):
        seed(path)
        before = path.read_bytes()
        get_user_model().objects.all().delete()
        assert seed(path) == 6
        assert path.read_bytes() == before
        for name, password in read_log_ins(path).items():
            assert authenticate(username=name, password=password) is not None

    def test_renews_passwords_that_nobody_knows_any_more(self, path):
        seed(path)
        lost = read_log_ins(path)
        path.unlink()
        assert seed(path) == 6
        for name, password in read_log_ins(path).items():
            assert password != lost[name]
            assert authenticate(username=name, password=password) is not None
            assert authenticate(username=name, password=lost[name]) is None


class TestReadLogIns:
    def test_finds_none_in_no_file(self, tmp_path):
        assert read_log_ins(tmp_path / "nothing.txt") == {}
