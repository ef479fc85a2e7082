"""API clients as tests meet them: a machine with a token, and a person with a session and its CSRF token."""

import json
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.test import Client
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_application_model

from aggregator.core.permissions import SCOPES
from aggregator.models import MachineClient, Organisation


def make_machine(organisation: Organisation, *scopes: str, name: str = "") -> MachineClient:
    """An API client of an organisation, allowed these scopes, or all there are."""
    model = get_application_model()
    application = model.objects.create(
        name=name or f"{organisation.code} client",
        client_type=model.CLIENT_CONFIDENTIAL,
        authorization_grant_type=model.GRANT_CLIENT_CREDENTIALS,
        hash_client_secret=False,  # nobody logs in with it here
    )
    return MachineClient.objects.create(
        application=application,
        organisation=organisation,
        scopes=list(scopes or SCOPES),
        created_at=timezone.now(),
    )


def token_of(machine: MachineClient, *, expires_in_s: int = 900) -> str:
    """A token with all the scopes its client is allowed."""
    token = f"token-{machine.pk}-{timezone.now().timestamp()}"
    get_access_token_model().objects.create(
        application=machine.application,
        token=token,
        scope=" ".join(machine.scopes),
        expires=timezone.now() + timedelta(seconds=expires_in_s),
    )
    return token


def as_machine(organisation: Organisation, *scopes: str) -> Client:
    """A test client that asks as a machine of an organisation."""
    return Client(headers={"Authorization": f"Bearer {token_of(make_machine(organisation, *scopes))}"})


def with_csrf(client: Client) -> dict[str, str]:
    """Headers a person's unsafe request carries, for a client that enforces CSRF checks."""
    token = "a" * 32
    client.cookies[settings.CSRF_COOKIE_NAME] = token
    return {"X-CSRFToken": token}


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """Ask with a JSON body, or one given as bytes; underscores of header names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        return client.generic(method, path, headers=named)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.generic(method, path, data=data, content_type="application/json", headers=named)
