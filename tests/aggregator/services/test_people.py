from itertools import product

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from aggregator.core.permissions import KIND_ROLES, Role, role_actions
from aggregator.models import Event, Membership, Organisation, known_as
from aggregator.services.people import (
    LastAdmin,
    Manager,
    NoSuchPerson,
    NotYourOrganisation,
    OwnRole,
    PersonNameRefused,
    RoleRefused,
    give_role,
    make_person,
    take_role,
)
from tests.factories import make_dno, make_organisation
from tests.people import authenticator_of

pytestmark = pytest.mark.django_db


def member(name: str, organisation: Organisation, role: str) -> User:
    user = User.objects.get_or_create(username=name)[0]
    Membership.objects.create(user=user, organisation=organisation, role=role)
    return user


def manager(organisation: Organisation, role: str = "admin") -> Manager:
    return Manager(user_pk=member("boss", organisation, role).pk, organisation=organisation)


def give(name: str, organisation: Organisation, role: str, by: Manager | None = None) -> Membership:
    return give_role(username=name, organisation=organisation, role=role, manager=by, now=timezone.now())


def take(name: str, organisation: Organisation, by: Manager | None = None) -> None:
    take_role(username=name, organisation=organisation, manager=by, now=timezone.now())


def recorded() -> list[tuple[str, str, object, object]]:
    events = Event.objects.across_tenants().order_by("sequence")
    return [(event.action, event.subject, event.before, event.after) for event in events]


class TestGiveRole:
    def test_makes_a_member_and_then_changes_the_role(self):
        flexco = make_organisation()
        by = manager(flexco)
        User.objects.create_user("ada")
        with known_as("person:boss"):
            give("ada", flexco, "operator", by)
            give("ada", flexco, "operator", by)
            give("ada", flexco, "auditor", by)

        assert Membership.objects.get(user__username="ada").role == "auditor"
        assert recorded() == [
            ("role.given", "person ada", None, {"role": "operator"}),
            ("role.given", "person ada", {"role": "operator"}, {"role": "auditor"}),
        ]
        assert set(Event.objects.across_tenants().values_list("actor", "organisation__code")) == {
            ("person:boss", "flexco")
        }

    @pytest.mark.parametrize(("kind", "role"), list(product(KIND_ROLES, Role)))
    def test_gives_the_roles_of_the_kind_only(self, kind, role):
        organisation = make_organisation("org", kind)
        User.objects.create_user("ada")
        if role in KIND_ROLES[kind]:
            give("ada", organisation, role)
            assert role_actions(role, kind)
        else:
            with pytest.raises(RoleRefused):
                give("ada", organisation, role)

    def test_is_refused_at_another_organisation(self):
        by = manager(make_organisation())
        User.objects.create_user("ada")
        for other in (make_organisation("voltway"), make_dno(), make_organisation("headroom", "platform")):
            with pytest.raises(NotYourOrganisation):
                give("ada", other, KIND_ROLES[other.kind][0], by)

    def test_is_the_platforms_everywhere(self):
        by = manager(make_organisation("headroom", "platform"), "platform_admin")
        User.objects.create_user("ada")

        assert give("ada", make_dno(), "control_room_supervisor", by).role == "control_room_supervisor"

    def test_is_refused_to_oneself(self):
        platform = make_organisation("headroom", "platform")
        by = manager(platform, "platform_admin")
        for organisation, role in ((platform, "auditor"), (make_organisation(), "admin")):
            with pytest.raises(OwnRole):
                give("boss", organisation, role, by)

    @pytest.mark.parametrize("name", ["nobody", "", "ADA", "a\x00b"])
    def test_needs_a_person(self, name):
        User.objects.create_user("ada")
        with pytest.raises(NoSuchPerson):
            give(name, make_organisation(), "operator")

    def test_does_not_take_the_last_admin_away(self):
        flexco = make_organisation()
        member("ada", flexco, "admin")
        with pytest.raises(LastAdmin):
            give("ada", flexco, "operator")
        assert give("ada", flexco, "admin").role == "admin"


class TestTakeRole:
    def test_ends_a_membership(self):
        flexco = make_organisation()
        by = manager(flexco)
        member("ada", flexco, "operator")
        take("ada", flexco, by)

        assert not Membership.objects.filter(user__username="ada").exists()
        assert recorded() == [("role.taken", "person ada", {"role": "operator"}, None)]

    def test_leaves_other_memberships(self):
        flexco, voltway = make_organisation(), make_organisation("voltway")
        member("ada", flexco, "operator")
        member("ada", voltway, "operator")
        take("ada", flexco)

        assert Membership.objects.get().organisation == voltway

    def test_is_refused_for_oneself_elsewhere_and_for_strangers(self):
        flexco, voltway = make_organisation(), make_organisation("voltway")
        by = manager(flexco)
        member("ada", voltway, "operator")
        with pytest.raises(OwnRole):
            take("boss", flexco, by)
        with pytest.raises(NotYourOrganisation):
            take("ada", voltway, by)
        with pytest.raises(NoSuchPerson):
            take("ada", flexco, by)

    @pytest.mark.parametrize(
        ("kind", "role"),
        [("dsrsp", "admin"), ("dno", "control_room_supervisor"), ("platform", "platform_admin")],
    )
    def test_leaves_an_admin(self, kind, role):
        organisation = make_organisation("org", kind)
        member("ada", organisation, role)
        member("idle", organisation, role)
        User.objects.filter(username="idle").update(is_active=False)
        member("bob", organisation, "auditor")
        with pytest.raises(LastAdmin):
            take("ada", organisation)
        member("eve", organisation, role)
        take("ada", organisation)
        take("bob", organisation)


class TestMakePerson:
    def test_tells_a_password_once(self):
        user, password = make_person(username="ada", organisation=make_organisation(), now=timezone.now())

        assert user.check_password(password)
        assert len(password) >= 20
        assert recorded() == [("person.made", "person ada", None, None)]

    @pytest.mark.parametrize("name", ["", "a b", "<b>", "x" * 151, "ada\n", "a\x00", "ﬁ", "ADA"])
    def test_refuses_names_that_mislead(self, name):
        User.objects.create_user("ada")
        with pytest.raises(PersonNameRefused):
            make_person(username=name, organisation=None, now=timezone.now())


class TestCommands:
    def test_give_role(self, capsys):
        make_organisation()
        User.objects.create_user("ada")
        with known_as("command:give_role"):
            call_command("give_role", "ada", "flexco", "operator")

        assert capsys.readouterr().out == "ada is Aggregator operator of flexco now.\n"
        assert Event.objects.across_tenants().get().actor == "command:give_role"

    def test_reset_second_factor(self, capsys):
        user = User.objects.create_user("ada")
        authenticator_of(user)
        call_command("reset_second_factor", "ada")
        assert capsys.readouterr().out == "ada sets up a new second factor at the next log-in.\n"
        assert recorded() == [("second_factor.reset", "person ada", None, None)]
        call_command("reset_second_factor", "ada")
        assert capsys.readouterr().out == "ada has no second factor.\n"
        with pytest.raises(NoSuchPerson):
            call_command("reset_second_factor", "eve")
