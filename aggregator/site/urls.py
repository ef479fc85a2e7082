"""Addresses of what every person needs: log-in, lock, confirmation, own account."""

from django.urls import path

from aggregator.site.account import Account, ActAs, NewAuthenticator, NewRecoveryCodes
from aggregator.site.confirm import Confirm
from aggregator.site.lock import Lock, Unlock
from aggregator.site.log_in import LogIn, LogOut, SecondFactor, SetUpSecondFactor

urlpatterns = [
    path("login/", LogIn.as_view(), name="login"),
    path("login/code/", SecondFactor.as_view(), name="second_factor"),
    path("login/setup/", SetUpSecondFactor.as_view(), name="second_factor_setup"),
    path("logout/", LogOut.as_view(), name="logout"),
    path("lock/", Lock.as_view(), name="lock"),
    path("unlock/", Unlock.as_view(), name="unlock"),
    path("confirm/", Confirm.as_view(), name="confirm"),
    path("act-as/", ActAs.as_view(), name="act_as"),
    path("account/", Account.as_view(), name="account"),
    path("account/recovery-codes/", NewRecoveryCodes.as_view(), name="new_recovery_codes"),
    path("account/authenticator/", NewAuthenticator.as_view(), name="new_authenticator"),
]
