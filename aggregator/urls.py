"""Addresses of fleets, control acts and the log."""

from django.urls import path

from aggregator.views.control_acts import ControlActPage, ControlActs, DecideControlAct
from aggregator.views.fleet import Fleet, FleetFile
from aggregator.views.fleet_upload import (
    DropFleetUpload,
    FleetTemplate,
    FleetUploadErrors,
    FleetUploadPage,
    RegisterFleet,
)
from aggregator.views.records import Findings, Jobs, Log, LogFile, VerifyLog

app_name = "aggregator"
urlpatterns = [
    path("fleet/", Fleet.as_view(), name="fleet"),
    path("fleet.csv", FleetFile.as_view(), name="fleet_csv"),
    path("fleet/register/", RegisterFleet.as_view(), name="fleet_register"),
    path("fleet/register/template.csv", FleetTemplate.as_view(), name="fleet_template"),
    path("fleet/register/<int:upload>/", FleetUploadPage.as_view(), name="fleet_upload"),
    path("fleet/register/<int:upload>/errors.csv", FleetUploadErrors.as_view(), name="fleet_upload_errors"),
    path("fleet/register/<int:upload>/drop/", DropFleetUpload.as_view(), name="fleet_upload_drop"),
    path("control-acts/", ControlActs.as_view(), name="control_acts"),
    path("control-acts/<int:control_act>/", ControlActPage.as_view(), name="control_act"),
    path(
        "control-acts/<int:control_act>/approve/",
        DecideControlAct.as_view(decision="approve"),
        name="control_act_approve",
    ),
    path(
        "control-acts/<int:control_act>/refuse/", DecideControlAct.as_view(decision="refuse"), name="control_act_refuse"
    ),
    path("findings/", Findings.as_view(), name="findings"),
    path("jobs/", Jobs.as_view(), name="jobs"),
    path("log/", Log.as_view(), name="log"),
    path("log.csv", LogFile.as_view(), name="log_csv"),
    path("log/verify/", VerifyLog.as_view(), name="log_verify"),
]
