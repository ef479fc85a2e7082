import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model

from aggregator.core.permissions import SCOPES, Action, scope_actions
from aggregator.management.importing import UnknownOrganisation
from aggregator.models import Event, MachineClient
from aggregator.services.machines import (
    Credentials,
    MachineNameRefused,
    NoSuchMachine,
    ScopesRefused,
    register_machine,
    revoke_machine,
    usable_scopes,
)
from tests.factories import make_dno, make_organisation
from tests.machines import token_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


def register(organisation=None, name="billing", scopes=("fleet:read",), known=None) -> Credentials:
    organisation = organisation or make_organisation()
    return register_machine(organisation=organisation, name=name, scopes=scopes, now=timezone.now(), known=known)


def token_for(made: Credentials) -> str:
    return token_of(MachineClient.objects.get(application__client_id=made.client_id))


class TestRegisterMachine:
    def test_tells_a_secret_that_is_kept_nowhere(self):
        made = register()
        application = get_application_model().objects.get(client_id=made.client_id)

        assert len(made.secret) >= 43
        assert made.secret not in str(application.__dict__)
        assert application.client_secret.startswith("pbkdf2_sha256_random$1000$")
        assert made.secret not in str(list(Event.objects.across_tenants().values()))

    def test_records_who_may_do_what(self):
        made = register(scopes=("readings:write", "fleet:read"))
        event = Event.objects.across_tenants().get()

        assert (event.action, event.subject) == ("machine.registered", f"machine {made.client_id}")
        assert event.after == {"name": "billing", "scopes": ["fleet:read", "readings:write"]}

    @pytest.mark.parametrize("scopes", [(), ("everything",), ("dispatch:write",), ("fleet:read", "settlement:write")])
    def test_refuses_scopes_a_dsrsp_can_never_use(self, scopes):
        with pytest.raises(ScopesRefused):
            register(scopes=scopes)
        assert not get_application_model().objects.exists()

    def test_refuses_a_name_that_is_taken_or_no_name(self):
        register()
        register(make_organisation("voltway"))
        for name in ("billing", "", " ", "x" * 101, "a\x00b", "line\nbreak"):
            with pytest.raises(MachineNameRefused):
                register(name=name)

    def test_takes_known_credentials_again(self):
        known = Credentials("demo-flexco", "s" * 43)

        assert register(known=known) == known


class TestUsableScopes:
    @pytest.mark.parametrize("kind", ["dsrsp", "dno", "market_operator", "platform"])
    def test_are_those_that_allow_anything(self, kind):
        assert usable_scopes(kind).keys() == {name for name in SCOPES if scope_actions(frozenset({name}), kind)}
        assert Action.CHANGE_LIMITS not in scope_actions(frozenset(SCOPES), kind)


class TestRevokeMachine:
    def test_ends_its_tokens_at_once(self):
        flexco = make_organisation()
        made = register(flexco)
        client = Client(headers={"Authorization": f"Bearer {token_for(made)}"})
        assert client.get("/api/v1/me/").status_code == 200

        assert revoke_machine(organisation=flexco, client_id=made.client_id, now=timezone.now()) == "billing"

        assert client.get("/api/v1/me/").status_code == 401
        assert not get_access_token_model().objects.exists()
        assert list(Event.objects.across_tenants().order_by("sequence").values_list("action", flat=True)) == [
            "machine.registered",
            "machine.revoked",
        ]

    def test_knows_no_client_of_another_organisation(self):
        made = register()

        with pytest.raises(NoSuchMachine):
            revoke_machine(organisation=make_dno(), client_id=made.client_id, now=timezone.now())
        assert MachineClient.objects.count() == 1


class TestCommands:
    def test_register_and_revoke(self, capsys):
        make_organisation()
        call_command("register_machine", "flexco", "billing", "--scopes", "fleet:read", "readings:read")
        shown = dict(line.split() for line in capsys.readouterr().out.splitlines())
        machine = MachineClient.objects.get(application__client_id=shown["client_id"])

        assert machine.scopes == ["fleet:read", "readings:read"]
        call_command("revoke_machine", "flexco", shown["client_id"])
        assert capsys.readouterr().out == "billing of flexco is revoked.\n"
        assert not MachineClient.objects.exists()

    def test_name_an_organisation_there_is(self):
        with pytest.raises(UnknownOrganisation):
            call_command("register_machine", "nobody", "billing", "--scopes", "fleet:read")
