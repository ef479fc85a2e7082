from markets.models.allocation import (
    AssetRegistration,
    BoundaryVolume,
    DeliveredVolumeFile,
    DeviationVolume,
    SecondaryUnit,
)
from markets.models.causes import ReboundPeriod, ShortfallCause
from markets.models.control_groups import ControlGroup, ControlGroupMember
from markets.models.cycles import CycleNode, CycleRun
from markets.models.events import FlexEvent, Instruction
from markets.models.evidence import InvoiceSeal, SettlementLink, SettlementSeal, StatementReason
from markets.models.invoices import Invoice, InvoiceLine
from markets.models.ledger import LedgerClaim, LedgerDisplacement, PrimacyRule, StackingRule
from markets.models.nominations import Nomination
from markets.models.products import Product
from markets.models.releases import StatementRelease
from markets.models.run_codes import RunCode
from markets.models.settled_days import SettledDay
from markets.models.statements import SettlementRun, Statement, StatementLine
from markets.models.trading import (
    Contract,
    FlexOffer,
    FlexOrder,
    FlexRequest,
    InstructionStop,
    Market,
    OfferOption,
)

__all__ = [
    "AssetRegistration",
    "BoundaryVolume",
    "Contract",
    "ControlGroup",
    "ControlGroupMember",
    "CycleNode",
    "CycleRun",
    "DeliveredVolumeFile",
    "DeviationVolume",
    "FlexEvent",
    "FlexOffer",
    "FlexOrder",
    "FlexRequest",
    "Instruction",
    "InstructionStop",
    "Invoice",
    "InvoiceLine",
    "InvoiceSeal",
    "LedgerClaim",
    "LedgerDisplacement",
    "Market",
    "Nomination",
    "OfferOption",
    "PrimacyRule",
    "Product",
    "ReboundPeriod",
    "RunCode",
    "SecondaryUnit",
    "SettledDay",
    "SettlementLink",
    "SettlementRun",
    "SettlementSeal",
    "ShortfallCause",
    "StackingRule",
    "Statement",
    "StatementLine",
    "StatementReason",
    "StatementRelease",
]
