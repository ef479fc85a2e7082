"""People who are logged in as the site asks: with a second factor, just confirmed."""

from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from aggregator.viewer import CONFIRMED_AT

PASSWORD = "correct horse battery staple"


def log_in(client: Client, user: User) -> Client:
    """Give ``client`` a verified session of ``user``, confirmed now; the device is made where there is none."""
    device = authenticator_of(user)
    client.force_login(user)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = device.persistent_id
    session[CONFIRMED_AT] = timezone.now().isoformat()
    session.save()
    return client


def authenticator_of(user: User) -> TOTPDevice:
    return TOTPDevice.objects.get_or_create(user=user, defaults={"name": "Authenticator"})[0]


def code_of(device: TOTPDevice, *, steps: int = 0) -> str:
    """The code an authenticator shows now, or ``steps`` half-minutes later."""
    return f"{TOTP(device.bin_key, drift=steps).token():06d}"
