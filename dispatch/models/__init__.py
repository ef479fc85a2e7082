from dispatch.models.runs import DispatchRun, RunNode, RunRequest, Setpoint
from dispatch.models.targets import TargetSignal

__all__ = ["DispatchRun", "RunNode", "RunRequest", "Setpoint", "TargetSignal"]
