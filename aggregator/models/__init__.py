from aggregator.models.acting import acting_for, actor, as_nobody, as_platform, known_as, work_as_platform
from aggregator.models.batches import Batch, Finding
from aggregator.models.control import ControlAct
from aggregator.models.events import Event
from aggregator.models.fleet import CSMS, EVSE, Enrolment, EvseIdentity
from aggregator.models.forecasts import AvailabilityForecast, EvseForecast, GroupForecast
from aggregator.models.jobs import Job
from aggregator.models.machines import FleetUpload, IdempotentRequest, MachineClient
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
    "ControlAct",
    "Enrolment",
    "Event",
    "EvseForecast",
    "EvseIdentity",
    "Finding",
    "FleetUpload",
    "GroupForecast",
    "IdempotentRequest",
    "Job",
    "MachineClient",
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
    "acting_for",
    "actor",
    "as_nobody",
    "as_platform",
    "known_as",
    "work_as_platform",
]
