"""Who acts for an organisation, in which role."""

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_variables

from aggregator.core.display import stamp
from aggregator.core.errors import FlexError
from aggregator.core.permissions import KIND_ROLES, Action
from aggregator.models import Membership, Organisation
from aggregator.queries import people_of
from aggregator.services.people import Manager, give_role, make_person, take_role
from aggregator.views.managing import ManagingPage


class People(ManagingPage):
    """List members; give a role to a person there is, or to a new one."""

    action = Action.MANAGE_PEOPLE

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page("people/people.html", self._context(self.organisation(request)))

    @method_decorator(sensitive_variables("password"))
    def post(self, request: HttpRequest) -> HttpResponse:
        organisation = self.organisation(request)
        username, role = request.POST.get("username", "").strip(), request.POST.get("role", "")
        password = ""
        try:
            if request.POST.get("is_new"):
                password = self._make(username, role, organisation)
            else:
                self._give(username, role, organisation)
        except FlexError as error:
            asked = {"error": error.message, "username": username, "role": role}
            return self.page("people/people.html", self._context(organisation) | asked, status=400)
        if password:
            told = {"username": username, "password": password, "organisation": organisation.code}
            return self.page("people/made.html", told)
        return redirect(f"{reverse('people')}?organisation={organisation.code}")

    def _make(self, username: str, role: str, organisation: Organisation) -> str:
        """Make a person and give them the role; a role that is refused leaves a person without any."""
        with transaction.atomic():
            _, password = make_person(username=username, organisation=organisation, now=timezone.now())
            self._give(username, role, organisation)
        return password

    def _give(self, username: str, role: str, organisation: Organisation) -> None:
        give_role(username=username, organisation=organisation, role=role, manager=self.manager(), now=timezone.now())

    def manager(self) -> Manager:
        user_pk = self.viewer.user_pk
        assert user_pk is not None  # noqa: S101 - pages are for people
        return Manager(user_pk=user_pk, organisation=self.viewer.organisation)

    def _context(self, organisation: Organisation) -> dict[str, Any]:
        return self.about(organisation) | {
            "people": [
                {
                    "username": one.user.get_username(),
                    "role": one.get_role_display(),
                    "is_closed": not one.user.is_active,
                    "is_self": one.user.pk == self.viewer.user_pk,
                    "last_log_in": stamp(one.user.last_login) if one.user.last_login else None,
                }
                for one in people_of(organisation)
            ],
            "roles": [(role.value, Membership.Role(role).label) for role in KIND_ROLES[organisation.kind]],
        }


class RemovePerson(People):
    """Ask, then end a membership."""

    def get(self, request: HttpRequest) -> HttpResponse:
        context = self.about(self.organisation(request)) | {"username": request.GET.get("username", "")}
        return self.page("people/remove.html", context)

    def post(self, request: HttpRequest) -> HttpResponse:
        organisation = self.organisation(request)
        username = request.POST.get("username", "")
        try:
            take_role(username=username, organisation=organisation, manager=self.manager(), now=timezone.now())
        except FlexError as error:
            return self.page("people/people.html", self._context(organisation) | {"error": error.message}, status=400)
        return redirect(f"{reverse('people')}?organisation={organisation.code}")
