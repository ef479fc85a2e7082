from collections.abc import Iterator

import psycopg
import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError

from flex.wall_checks import POLICIES


def messages_of_the_walls() -> list[str]:
    return [message.msg for message in run_checks(databases=["default"]) if message.id == "flex.E012"]


@pytest.mark.django_db(transaction=True)
class TestCheckRowSecurity:
    @pytest.fixture(autouse=True)
    def as_app(self, settings) -> None:
        settings.HEADROOM_DB_ROLE = "app"

    @pytest.fixture
    def owner(self, owner_login) -> Iterator[psycopg.Connection]:
        with psycopg.connect(**owner_login, autocommit=True) as owner:
            yield owner

    def test_accepts_what_the_migrations_made(self):
        assert messages_of_the_walls() == []

    def test_names_a_table_without_row_security(self, owner):
        owner.execute("ALTER TABLE aggregator_meter DISABLE ROW LEVEL SECURITY")
        try:
            (message,) = messages_of_the_walls()
            with pytest.raises(SystemCheckError, match=r"flex\.E012"):
                call_command("check", databases=["default"])
        finally:
            owner.execute("ALTER TABLE aggregator_meter ENABLE ROW LEVEL SECURITY")
        assert message == "Row-level security does not protect aggregator_meter as it should: migrate the database."

    def test_names_a_table_that_lacks_a_policy(self, owner):
        policy = next(one for one in POLICIES if (one.table, one.name) == ("markets_statement", "owner"))
        owner.execute("DROP POLICY owner ON markets_statement")
        try:
            (message,) = messages_of_the_walls()
        finally:
            owner.execute(policy.sql())
        assert "markets_statement" in message

    def test_names_a_month_of_readings_that_is_open(self, owner):
        owner.execute("SELECT aggregator_meterday_partition('2032-05-01')")
        owner.execute("ALTER TABLE aggregator_meterday_2032_05 DISABLE ROW LEVEL SECURITY")
        try:
            (message,) = messages_of_the_walls()
        finally:
            owner.execute("ALTER TABLE aggregator_meterday_2032_05 ENABLE ROW LEVEL SECURITY")
        assert "aggregator_meterday_2032_05" in message

    def test_asks_no_database_unless_told_to_nor_the_owner_who_migrates(self, owner, settings):
        owner.execute("ALTER TABLE aggregator_meter DISABLE ROW LEVEL SECURITY")
        try:
            assert [message for message in run_checks() if message.id == "flex.E012"] == []
            settings.HEADROOM_DB_ROLE = "owner"
            assert messages_of_the_walls() == []
        finally:
            owner.execute("ALTER TABLE aggregator_meter ENABLE ROW LEVEL SECURITY")
