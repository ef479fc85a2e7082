"""Addresses of log-in, lock, confirmation and own account, and of people and API clients."""

from django.urls import path

from aggregator.site.account import Account, ActAs, NewAuthenticator, NewPassword, NewRecoveryCodes
from aggregator.site.confirm import Confirm
from aggregator.site.lock import Lock, Unlock
from aggregator.site.log_in import LogIn, LogOut, SecondFactor, SetUpSecondFactor
from aggregator.views.machines import Machines, RevokeMachine
from aggregator.views.people import People, RemovePerson

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
    path("account/password/", NewPassword.as_view(), name="new_password"),
    path("people/", People.as_view(), name="people"),
    path("people/remove/", RemovePerson.as_view(), name="remove_person"),
    path("machines/", Machines.as_view(), name="machines"),
    path("machines/revoke/", RevokeMachine.as_view(), name="revoke_machine"),
]
