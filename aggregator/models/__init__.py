from aggregator.models.batches import Batch, Finding
from aggregator.models.fleet import CSMS, EVSE, Enrolment, EvseIdentity
from aggregator.models.forecasts import AvailabilityForecast, EvseForecast, GroupForecast
from aggregator.models.jobs import Job
from aggregator.models.network import NetworkNode, NodeRating
from aggregator.models.organisations import Membership, Organisation
from aggregator.models.prices import CarbonDay, Tariff, TariffDay
from aggregator.models.readings import Meter, MeterDay
from aggregator.models.sessions import ChargingSession
from aggregator.models.tenancy import TenantManager, TenantRequired

__all__ = [
    "CSMS",
    "EVSE",
    "AvailabilityForecast",
    "Batch",
    "CarbonDay",
    "ChargingSession",
    "Enrolment",
    "EvseForecast",
    "EvseIdentity",
    "Finding",
    "GroupForecast",
    "Job",
    "Membership",
    "Meter",
    "MeterDay",
    "NetworkNode",
    "NodeRating",
    "Organisation",
    "Tariff",
    "TariffDay",
    "TenantManager",
    "TenantRequired",
]
