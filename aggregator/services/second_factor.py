"""The second factor: an authenticator's codes, and recovery codes for the day it is lost."""

import re
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from django.contrib.auth.models import User
from django.db import transaction
from django_otp.models import Device
from django_otp.oath import TOTP
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from aggregator.core.errors import FlexError
from aggregator.services.person_events import record_of_person

AUTHENTICATOR_CODE = re.compile(r"[0-9]{6}")
N_RECOVERY_CODE = 10
STEP_S = 30


class CodeRefused(FlexError):
    code = "people.code_refused"


class CodeTooSoon(FlexError):
    code = "people.code_too_soon"


class AlreadySetUp(FlexError):
    code = "people.already_set_up"


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """What a person has: since when an authenticator, and how many recovery codes are left."""

    has_authenticator: bool
    n_recovery_code: int


def second_factor_of(*, user: User) -> SecondFactor:
    return SecondFactor(
        has_authenticator=TOTPDevice.objects.filter(user=user, confirmed=True).exists(),
        n_recovery_code=StaticToken.objects.filter(device__user=user, device__confirmed=True).count(),
    )


def use_code(*, user: User, code: str, now: datetime) -> Device:
    """Take an authenticator's code or a recovery code, each once.

    Six digits are an authenticator's, anything else a recovery code, so that a slip in one does not slow the other.
    Two requests with the same code wait for each other: one gets in. (The devices read the clock themselves; ``now``
    only says how long the pause still is.)

    Raises:
        CodeTooSoon: after a wrong code a pause is asked that doubles each time (``details["wait_s"]``); not tried.
        CodeRefused: wrong, used before, or the person has no such device.
    """
    text = re.sub(r"[\s-]", "", code).lower()
    model = TOTPDevice if AUTHENTICATOR_CODE.fullmatch(text) else StaticDevice
    with transaction.atomic():  # ends before anything is raised: the count of wrong codes must be kept
        device = model.objects.select_for_update().filter(user=user, confirmed=True).order_by("pk").first()
        may_try, why_not = device.verify_is_allowed() if device else (True, None)
        is_right = device is not None and may_try and device.verify_token(text)
    if why_not:
        wait_s = max(1, ceil((why_not["locked_until"] - now).total_seconds()))
        raise CodeTooSoon(f"after a wrong code the next one is taken in {wait_s} s", wait_s=wait_s)
    if device is None or not is_right:
        raise CodeRefused("the code is wrong, or was used before")
    return device


def set_up_authenticator(
    *, user: User, secret: str, code: str, now: datetime, replace: bool = False
) -> tuple[Device, list[str]]:
    """Make an authenticator of a secret the person has shown to know, with recovery codes.

    Args:
        secret: hexadecimal key as shown to the person.
        code: what their authenticator makes of it now.
        replace: the present authenticator and recovery codes end, and sessions opened with them.

    Returns:
        The device, and ``N_RECOVERY_CODE`` recovery codes that are told this once.

    Raises:
        CodeRefused: the code is not of this secret.
        AlreadySetUp: there is an authenticator, and it is not to be replaced.
    """
    step = _step_of(secret, code, now)
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two set-ups at once: one wins
        present = TOTPDevice.objects.filter(user=user, confirmed=True)
        if present.exists() and not replace:
            raise AlreadySetUp(f"{user.get_username()} has an authenticator already")
        n_forgotten = _forget(user)
        device = TOTPDevice.objects.create(user=user, name="Authenticator", key=secret, last_t=step)
        codes = replace_recovery_codes(user=user)
        action = "second_factor.replaced" if n_forgotten else "second_factor.set_up"
        record_of_person(action=action, user=user, at=now)
    return device, codes


def renew_recovery_codes(*, user: User, now: datetime) -> list[str]:
    """Make new recovery codes, told this once; those before are void."""
    with transaction.atomic():
        codes = replace_recovery_codes(user=user)
        record_of_person(action="recovery_codes.renewed", user=user, at=now)
    return codes


def replace_recovery_codes(*, user: User, codes: Sequence[str] = ()) -> list[str]:
    """Store new recovery codes (or those given) in place of a person's present ones."""
    fresh = list(codes) or [StaticToken.random_token() for _ in range(N_RECOVERY_CODE)]
    with transaction.atomic():
        device, _ = StaticDevice.objects.get_or_create(user=user, defaults={"name": "Recovery codes"})
        device.token_set.all().delete()
        StaticToken.objects.bulk_create([StaticToken(device=device, token=token) for token in fresh])
    return fresh


def reset_second_factor(*, user: User, now: datetime) -> bool:
    """Forget a person's devices: their sessions end, and the next log-in sets up a new one; False without any."""
    with transaction.atomic():
        had_any = _forget(user) > 0
        if had_any:
            record_of_person(action="second_factor.reset", user=user, at=now, by_themselves=False)
    return had_any


def _forget(user: User) -> int:
    return sum(model.objects.filter(user=user).delete()[0] for model in (TOTPDevice, StaticDevice))


def _step_of(secret: str, code: str, now: datetime) -> int:
    """The time step a code belongs to, so that it is not taken a second time."""
    text = re.sub(r"\s", "", code)
    totp = TOTP(unhexlify(secret), step=STEP_S)
    totp.time = now.timestamp()
    if not AUTHENTICATOR_CODE.fullmatch(text) or not totp.verify(int(text), tolerance=1):
        raise CodeRefused("the code is not of this secret; look whether the phone's clock is right")
    return int(totp.t())
