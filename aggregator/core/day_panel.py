"""One day of one node, or of one fleet, as a chart, a table with the same numbers, and sentences about its limits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from aggregator.core.chart import Chart, Series, draw_chart
from aggregator.core.display import number, stamp
from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, TimeGrid, settlement_period_at
from aggregator.core.types import FloatArray

TOLERANCE_KW = 1e-6  # as in the run's own check and in the cycle's findings


class InvalidDay(FlexError):
    code = "day_panel.invalid"


@dataclass(frozen=True, slots=True, eq=False)
class DayPowers:
    """Powers through a day, each (n_period,) in kW or None where it is not known or not for this reader.

    Attributes:
        rating_kw: what the node may carry.
        background_kw: other demand expected, at the quantile held against the rating.
        reserve_kw: held back for consumers who override.
        limit_kw: what was left for EVs.
        uncontrolled_kw: EV power of the same sessions without dispatch.
        planned_kw: the plan's rounded EV power.
        metered_kw: EV power from the asset meters.
        ceiling_kw: sum of the setpoints, spare headroom offered included.
        background_was_kw: other demand as it was metered, or stood in for.
        headroom_kw: what the rating leaves beside expected background and planned EV power.

    Raises:
        InvalidDay: an array whose length is not the grid's.
    """

    grid: TimeGrid
    rating_kw: FloatArray | None = None
    background_kw: FloatArray | None = None
    reserve_kw: FloatArray | None = None
    limit_kw: FloatArray | None = None
    uncontrolled_kw: FloatArray | None = None
    planned_kw: FloatArray | None = None
    metered_kw: FloatArray | None = None
    ceiling_kw: FloatArray | None = None
    background_was_kw: FloatArray | None = None
    headroom_kw: FloatArray | None = None

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            values = getattr(self, field.name)
            if values is not None and values.shape != (self.grid.n_period,):
                raise InvalidDay(
                    f"{field.name} needs {self.grid.n_period} periods, found shape {values.shape}", field=field.name
                )


@dataclass(frozen=True, slots=True)
class TableRow:
    local: str
    utc: str
    settlement_date: str
    period: int
    powers_kw: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the day; ``is_abnormal`` ones are marked."""

    text: str
    is_abnormal: bool = False


@dataclass(frozen=True, slots=True)
class DayPanel:
    chart: Chart
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    remarks: tuple[Remark, ...]


# name, label, drawn, as an area; the order is that of drawing and of the table's columns
CURVES = (
    ("background_kw", "Background expected", True, True),
    ("rating_kw", "Rating", True, False),
    ("limit_kw", "Limit for EVs", True, False),
    ("uncontrolled_kw", "EVs without dispatch", True, False),
    ("planned_kw", "EVs planned", True, False),
    ("metered_kw", "EVs metered", True, False),
    ("ceiling_kw", "Setpoints", False, False),
    ("reserve_kw", "Reserve for overrides", False, False),
    ("background_was_kw", "Background as it was", False, False),
    ("headroom_kw", "Headroom left", False, False),
)


def day_panel(powers: DayPowers) -> DayPanel:
    """Draw a day, tabulate the same numbers, and say whether its limits were kept."""
    known = [(*curve, getattr(powers, curve[0])) for curve in CURVES if getattr(powers, curve[0]) is not None]
    drawn = tuple(
        Series(name.removesuffix("_kw").replace("_", "-"), label, values, is_area)
        for name, label, is_drawn, is_area, values in known
        if is_drawn
    )
    return DayPanel(
        chart=draw_chart(powers.grid, drawn),
        columns=tuple(label for _, label, _, _, _ in known),
        rows=tuple(table_rows(powers.grid, [values for _, _, _, _, values in known])),
        remarks=tuple(_remarks(powers)),
    )


def curves_panel(grid: TimeGrid, curves: Sequence[Series]) -> DayPanel:
    """Draw any curves of a day and tabulate the same numbers, without remarks."""
    return DayPanel(
        chart=draw_chart(grid, tuple(curves)),
        columns=tuple(curve.label for curve in curves),
        rows=tuple(table_rows(grid, [curve.power_kw for curve in curves])),
        remarks=(),
    )


def table_rows(grid: TimeGrid, columns: Sequence[FloatArray]) -> Iterator[TableRow]:
    """One row a period with its settlement period and each column's power; a dash where there is none."""
    for index, at in enumerate(grid.starts()):
        settled = settlement_period_at(at)
        yield TableRow(
            local=f"{at.astimezone(LONDON):%H:%M %Z}",
            utc=stamp(at).utc,
            settlement_date=settled.settlement_date.isoformat(),
            period=settled.number,
            powers_kw=tuple(number(float(values[index]), 2) for values in columns),
        )


def _remarks(powers: DayPowers) -> Iterator[Remark]:
    grid, rating_kw = powers.grid, powers.rating_kw
    if powers.limit_kw is not None and powers.planned_kw is not None:
        yield _remark("Planned EV power", powers.planned_kw, powers.limit_kw, "the limit", grid, is_abnormal=True)
    if rating_kw is None or powers.background_was_kw is None:
        return
    if powers.metered_kw is not None:
        total_kw = powers.metered_kw + powers.background_was_kw
        yield _remark("As it was, EVs and background", total_kw, rating_kw, "the rating", grid, is_abnormal=True)
    if powers.uncontrolled_kw is not None:
        total_kw = powers.uncontrolled_kw + powers.background_was_kw
        yield _remark("Without dispatch it would have been", total_kw, rating_kw, "the rating", grid, is_abnormal=False)


def _remark(
    what: str, power_kw: FloatArray, limit_kw: FloatArray, limit: str, grid: TimeGrid, *, is_abnormal: bool
) -> Remark:
    over_kw = np.nan_to_num(power_kw - limit_kw, nan=-np.inf, neginf=-np.inf)
    is_over = over_kw > TOLERANCE_KW
    n_over = int(is_over.sum())
    if not n_over:
        return Remark(f"{what}: within {limit} in all {grid.n_period} periods.")
    worst = int(over_kw.argmax())
    local = grid.starts()[worst].astimezone(LONDON)
    return Remark(
        f"{what}: over {limit} in {n_over} of {grid.n_period} periods, "
        f"most by {number(float(over_kw[worst]))} kW at {local:%H:%M %Z}.",
        is_abnormal,
    )
