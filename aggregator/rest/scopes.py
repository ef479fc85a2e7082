"""Which scopes an API client may ask a token for: its own, within those there are."""

from typing import Any

from oauth2_provider.scopes import SettingsScopes

from aggregator.models import MachineClient


class ClientScopes(SettingsScopes):  # type: ignore[misc]
    """A client that belongs to no organisation may ask for none; what was taken from a client is not given again."""

    def get_available_scopes(self, application: Any = None, *_args: Any, **_kwargs: Any) -> list[str]:
        known = set(self.get_all_scopes())
        if application is None:
            return sorted(known)
        machine = MachineClient.objects.filter(application=application).first()
        return sorted(known & set(machine.scopes)) if machine else []

    def get_default_scopes(self, application: Any = None, *args: Any, **kwargs: Any) -> list[str]:
        return self.get_available_scopes(application, *args, **kwargs)
