"""Addresses of the control room's pages."""

from django.urls import path

from aggregator.site import converters  # noqa: F401 - registers <text:…>
from dispatch.views.evses import Evse
from dispatch.views.explain import ExplainSetpoint
from dispatch.views.limits import ChangeLimit
from dispatch.views.network import Network, Node
from dispatch.views.runs import Run, Runs, RunSetpoints

app_name = "dispatch"
urlpatterns = [
    path("network/", Network.as_view(), name="network"),
    path("network/<text:code>/", Node.as_view(), name="node"),
    path("limits/<text:code>/", ChangeLimit.as_view(), name="change_limit"),
    path("fleet/<text:evse>/", Evse.as_view(), name="evse"),
    path("runs/", Runs.as_view(), name="runs"),
    path("runs/<int:run>/", Run.as_view(), name="run"),
    path("runs/<int:run>/setpoints.csv", RunSetpoints.as_view(), name="run_setpoints"),
    path("runs/<int:run>/setpoints/<text:evse>/", ExplainSetpoint.as_view(), name="explain_setpoint"),
]
