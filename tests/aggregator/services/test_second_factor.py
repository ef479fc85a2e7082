from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice, default_key

from aggregator.services.second_factor import (
    AlreadySetUp,
    CodeRefused,
    CodeTooSoon,
    replace_recovery_codes,
    set_up_authenticator,
    use_code,
)
from tests.people import authenticator_of, code_of

NOW = datetime(2026, 1, 15, 12, 0, 5, tzinfo=UTC)


def at_once(act: Callable[[], object], *, n_thread: int = 4) -> list[object]:
    """What the same act gives or raises in several threads that begin together."""
    barrier = Barrier(n_thread)

    def run(_number: int) -> object:
        try:
            barrier.wait(timeout=30)
            return act()
        except Exception as error:  # noqa: BLE001 - the outcome
            return type(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(n_thread) as pool:
        return list(pool.map(run, range(n_thread)))


@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_one_code_lets_one_in(self):
        user = User.objects.create_user("ada")
        device = authenticator_of(user)
        code = code_of(device)
        outcomes = at_once(lambda: use_code(user=user, code=code, now=timezone.now()))

        assert outcomes.count(device) == 1
        assert set(outcomes) <= {device, CodeRefused, CodeTooSoon}

    def test_one_recovery_code_lets_one_in(self):
        user = User.objects.create_user("ada")
        code, *_ = replace_recovery_codes(user=user)
        outcomes = at_once(lambda: use_code(user=user, code=code, now=timezone.now()))

        assert sum(not isinstance(outcome, type) for outcome in outcomes) == 1
        assert StaticToken.objects.count() == 9

    def test_one_set_up_wins(self):
        user = User.objects.create_user("ada")
        secret = default_key()
        code = code_of(TOTPDevice(key=secret))
        outcomes = at_once(lambda: set_up_authenticator(user=user, secret=secret, code=code, now=timezone.now()))

        assert outcomes.count(AlreadySetUp) == 3
        assert TOTPDevice.objects.count() == 1


@pytest.mark.django_db
class TestUseCode:
    def test_pauses_double(self):
        user = User.objects.create_user("ada")
        authenticator_of(user)
        waits = []
        with time_machine.travel(NOW, tick=False) as clock:
            for _ in range(4):
                with pytest.raises(CodeRefused):
                    use_code(user=user, code="000000", now=timezone.now())
                with pytest.raises(CodeTooSoon) as refused:
                    use_code(user=user, code="000000", now=timezone.now())
                waits.append(refused.value.details["wait_s"])
                clock.shift(timedelta(seconds=waits[-1]))

        assert waits == [1, 2, 4, 8]

    @pytest.mark.parametrize(("steps", "is_taken"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
    def test_takes_a_code_half_a_minute_off(self, steps, is_taken):
        user = User.objects.create_user("ada")
        device = authenticator_of(user)
        with time_machine.travel(NOW, tick=False):
            code = code_of(device, steps=steps)
            if is_taken:
                assert use_code(user=user, code=code, now=NOW) == device
            else:
                with pytest.raises(CodeRefused):
                    use_code(user=user, code=code, now=NOW)

    def test_of_a_person_without_any_is_refused(self):
        with pytest.raises(CodeRefused):
            use_code(user=User.objects.create_user("ada"), code="123456", now=NOW)
