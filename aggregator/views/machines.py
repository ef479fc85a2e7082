"""An organisation's API clients: listed, registered with a secret shown once, revoked."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from aggregator.core.display import stamp
from aggregator.core.errors import FlexError
from aggregator.core.permissions import Action
from aggregator.models import Organisation
from aggregator.queries import machines_of
from aggregator.services.machines import register_machine, revoke_machine, usable_scopes
from aggregator.views.managing import ManagingPage


class Machines(ManagingPage):
    action = Action.MANAGE_MACHINES

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.page("people/machines.html", self._context(self.organisation(request)))

    def post(self, request: HttpRequest) -> HttpResponse:
        organisation = self.organisation(request)
        name, scopes = request.POST.get("name", "").strip(), request.POST.getlist("scopes")
        try:
            made = register_machine(organisation=organisation, name=name, scopes=scopes, now=timezone.now())
        except FlexError as error:
            asked = {"error": error.message, "name": name, "asked": scopes}
            return self.page("people/machines.html", self._context(organisation) | asked, status=400)
        told = {"name": name, "client_id": made.client_id, "secret": made.secret, "organisation": organisation.code}
        return self.page("people/machine_made.html", told)

    def _context(self, organisation: Organisation) -> dict[str, Any]:
        return self.about(organisation) | {
            "machines": [
                {
                    "name": one.application.name,
                    "client_id": one.application.client_id,
                    "scopes": one.scopes,
                    "created_at": stamp(one.created_at),
                }
                for one in machines_of(organisation)
            ],
            "scopes": sorted(usable_scopes(organisation.kind).items()),
        }


class RevokeMachine(Machines):
    """Ask, then end a client."""

    def get(self, request: HttpRequest) -> HttpResponse:
        organisation = self.organisation(request)
        machine = machines_of(organisation).filter(application__client_id=_client_id(request.GET)).first()
        if machine is None:
            raise Http404("There is no such client, or you do not manage it.")
        known = {"name": machine.application.name, "client_id": machine.application.client_id}
        return self.page("people/revoke.html", self.about(organisation) | known)

    def post(self, request: HttpRequest) -> HttpResponse:
        organisation = self.organisation(request)
        try:
            revoke_machine(organisation=organisation, client_id=_client_id(request.POST), now=timezone.now())
        except FlexError as error:
            raise Http404(error.message) from error
        return redirect(f"{reverse('machines')}?organisation={organisation.code}")


def _client_id(values: Any) -> str:
    return str(values.get("client_id", "")).replace("\x00", "")
