"""Addresses of fleets, control acts and the log."""

from django.urls import path

from aggregator.views.fleet import Fleet, FleetFile
from aggregator.views.fleet_upload import (
    DropFleetUpload,
    FleetTemplate,
    FleetUploadErrors,
    FleetUploadPage,
    RegisterFleet,
)

app_name = "aggregator"
urlpatterns = [
    path("fleet/", Fleet.as_view(), name="fleet"),
    path("fleet.csv", FleetFile.as_view(), name="fleet_csv"),
    path("fleet/register/", RegisterFleet.as_view(), name="fleet_register"),
    path("fleet/register/template.csv", FleetTemplate.as_view(), name="fleet_template"),
    path("fleet/register/<int:upload>/", FleetUploadPage.as_view(), name="fleet_upload"),
    path("fleet/register/<int:upload>/errors.csv", FleetUploadErrors.as_view(), name="fleet_upload_errors"),
    path("fleet/register/<int:upload>/drop/", DropFleetUpload.as_view(), name="fleet_upload_drop"),
]
