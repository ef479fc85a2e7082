"""Addresses of this app's resources, under /api/v1/."""

from django.urls import path

from aggregator.api import batches, energy, fleet, forecasts, network, records, who

urlpatterns = [
    path("me/", who.Me.as_view(), name="me"),
    path("organisations/", who.Organisations.as_view(), name="organisations"),
    path("organisations/<str:code>/", who.OrganisationDetail.as_view(), name="organisation"),
    path("network/nodes/", network.Nodes.as_view(), name="nodes"),
    path("network/nodes/<str:code>/", network.NodeDetail.as_view(), name="node"),
    path("network/nodes/<str:code>/ratings/", network.NodeRatings.as_view(), name="node_ratings"),
    path("network/nodes/<str:code>/evses/", network.NodeEvses.as_view(), name="node_evses"),
    path("csms/", fleet.Systems.as_view(), name="csms"),
    path("csms/<str:code>/", fleet.SystemDetail.as_view(), name="one_csms"),
    path("evses/", fleet.Evses.as_view(), name="evses"),
    path("evses:batch/", batches.EvseBatches.as_view(), name="evse_batches"),
    path("evses/<str:id>/", fleet.EvseDetail.as_view(), name="evse"),
    path("enrolments/", fleet.Enrolments.as_view(), name="enrolments"),
    path("enrolments/<str:id>/", fleet.EnrolmentDetail.as_view(), name="enrolment"),
    path("sessions/", energy.Sessions.as_view(), name="sessions"),
    path("sessions/<str:id>/", energy.SessionDetail.as_view(), name="session"),
    path("tariffs/", energy.Tariffs.as_view(), name="tariffs"),
    path("tariffs/<str:code>/", energy.TariffDetail.as_view(), name="tariff"),
    path("tariffs/<str:code>/prices/", energy.Prices.as_view(), name="prices"),
    path("readings/", energy.Readings.as_view(), name="readings"),
    path("readings:batch/", batches.ReadingBatches.as_view(), name="reading_batches"),
    path("forecasts/", forecasts.Forecasts.as_view(), name="forecasts"),
    path("forecasts/<str:id>/", forecasts.ForecastDetail.as_view(), name="forecast"),
    path("forecasts/<str:id>/evses/", forecasts.EvseForecasts.as_view(), name="forecast_evses"),
    path("forecasts/<str:id>/groups/", forecasts.GroupForecasts.as_view(), name="forecast_groups"),
    path("findings/", records.Findings.as_view(), name="findings"),
    path("findings/<str:id>/", records.FindingDetail.as_view(), name="finding"),
    path("jobs/", records.Jobs.as_view(), name="jobs"),
    path("jobs/<str:id>/", records.JobDetail.as_view(), name="job"),
    path("events/", records.Events.as_view(), name="events"),
    path("events/<str:id>/", records.EventDetail.as_view(), name="event"),
    path("control-acts/", records.ControlActs.as_view(), name="control_acts"),
    path("control-acts/<str:id>/", records.ControlActDetail.as_view(), name="control_act"),
    path("control-acts/<str:id>/approve/", records.Approval.as_view(), name="approve_control_act"),
    path("control-acts/<str:id>/refuse/", records.RefusalOfAct.as_view(), name="refuse_control_act"),
]
