"""Evidence of a settlement as plain values, spelled so that a program of a few lines can add them up again."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np

from aggregator.core.types import BoolArray, FloatArray, StrArray, TimeArray
from markets.core.energy import decimal_kwh


def spelled_times(starts: TimeArray) -> list[str]:
    """(n,) UTC times as ``2026-01-14T18:00:00Z``."""
    return [f"{text}Z" for text in np.datetime_as_string(starts, unit="s").tolist()]


def spelled_kwh(energy_kwh: FloatArray) -> list[str | None]:
    """(n,) energies on the settlement grid, four decimals; None where one is not known."""
    return [None if np.isnan(value) else f"{decimal_kwh(float(value)):.4f}" for value in energy_kwh]


def series(starts: TimeArray, energy_kwh: FloatArray) -> dict[str, list[str | None]]:
    """Half-hours and their energies, side by side."""
    return {"starts_at": list(spelled_times(starts)), "energy_kwh": spelled_kwh(energy_kwh)}


def readings_csv(evse_ids: StrArray, counts: BoolArray, starts: TimeArray, readings_kwh: FloatArray) -> bytes:
    """One row a meter: pseudonym, 1 where it counts, and a cell a half-hour, empty where no reading was known.

    Args:
        readings_kwh: (n_meter, n_instant) spelled with all their digits.
    """
    order = np.argsort(evse_ids, kind="stable")
    return _csv(
        ["evse_ref", "counts", *spelled_times(starts)],
        (
            [str(evse_ids[row]), "1" if counts[row] else "0", *map(_exact, readings_kwh[row].tolist())]
            for row in order.tolist()
        ),
    )


def _exact(value: float) -> str:
    return "" if np.isnan(value) else repr(value)


def _csv(head: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    target = io.StringIO(newline="")
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return target.getvalue().encode()
