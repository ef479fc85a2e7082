from dispatch.models.parts import PartRound, SolvePart
from dispatch.models.runs import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint
from dispatch.models.targets import SparedEvse, TargetSignal

__all__ = [
    "DispatchRun",
    "IssuedSetpoint",
    "PartRound",
    "RunNode",
    "RunRequest",
    "Setpoint",
    "SolvePart",
    "SparedEvse",
    "TargetSignal",
]
