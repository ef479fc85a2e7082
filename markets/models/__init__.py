from markets.models.cycles import CycleNode, CycleRun
from markets.models.events import FlexEvent, Instruction
from markets.models.products import Product
from markets.models.releases import StatementRelease
from markets.models.statements import SettlementRun, Statement, StatementLine

__all__ = [
    "CycleNode",
    "CycleRun",
    "FlexEvent",
    "Instruction",
    "Product",
    "SettlementRun",
    "Statement",
    "StatementLine",
    "StatementRelease",
]
