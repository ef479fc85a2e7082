from dispatch.models.runs import DispatchRun, IssuedSetpoint, RunNode, RunRequest, Setpoint
from dispatch.models.targets import TargetSignal

__all__ = ["DispatchRun", "IssuedSetpoint", "RunNode", "RunRequest", "Setpoint", "TargetSignal"]
