"""Oddities that are kept and shown instead of raised."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from aggregator.core.errors import Detail

Severity = Literal["info", "warning", "alarm"]


@dataclass(frozen=True, slots=True)
class FindingNote:
    """One oddity: what (``code``), about whom (``subject``), and the facts.

    Attributes:
        code: stable, dotted, e.g. ``session.reversed``.
        subject: the id it is about (an EVSE, meter, node or session), never a personal name.
        message: one sentence a control-room operator can act on.
        severity: ``info`` (kept as it is), ``warning`` (set aside or adjusted), ``alarm`` (a limit is affected).
        details: the facts, with units in their names.
    """

    code: str
    subject: str
    message: str
    severity: Severity = "warning"
    details: dict[str, Detail] = field(default_factory=dict)


def count_by_code(findings: Iterable[FindingNote]) -> dict[str, int]:
    """Count findings per code, codes in alphabetical order."""
    counts = Counter(finding.code for finding in findings)
    return dict(sorted(counts.items()))
