"""Geometry of the day chart: kW against local time, drawn as steps because every value is a half-hour's mean.

Nothing here knows SVG or colours: a template puts classes on the paths.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import LONDON, TimeGrid
from aggregator.core.types import FloatArray

LEFT, TOP, RIGHT = 54.0, 30.0, 26.0
PLOT_WIDTH, PLOT_HEIGHT = 880.0, 314.0
HOURS_BELOW, CLOCK_CHANGE_BELOW = 34.0, 56.0
LABEL_HOURS = 3
N_TICK = 5
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class InvalidChart(FlexError):
    code = "chart.invalid"


@dataclass(frozen=True, slots=True)
class Frame:
    """The plot box in drawing units (x right, y down) and the kW its edges stand for."""

    left: float
    top: float
    width: float
    height: float
    low_kw: float
    high_kw: float
    n_period: int

    def x(self, boundary: FloatArray) -> FloatArray:
        """Place period boundaries, 0 to ``n_period``."""
        placed: FloatArray = self.left + np.asarray(boundary, dtype=np.float64) / self.n_period * self.width
        return placed

    def y(self, power_kw: FloatArray) -> FloatArray:
        """Place powers between ``low_kw`` (bottom) and ``high_kw`` (top)."""
        share = (np.asarray(power_kw, dtype=np.float64) - self.low_kw) / (self.high_kw - self.low_kw)
        placed: FloatArray = self.top + (1.0 - share) * self.height
        return placed

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One curve: ``power_kw`` (n_period,), not finite where there is no value."""

    key: str
    label: str
    power_kw: FloatArray
    is_area: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    key: str
    label: str
    path: str
    is_area: bool


@dataclass(frozen=True, slots=True)
class YTick:
    y: float
    label: str


@dataclass(frozen=True, slots=True)
class XTick:
    """``anchor`` is where the label stands against ``x``: start, middle or end."""

    x: float
    label: str
    anchor: str = "middle"


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything a template needs to draw one day.

    Attributes:
        hours: labels of whole local hours.
        clock_change: on a clock-change day the hour before and after it, with their zones.
        days: a label where each local date begins; the first at the left edge.
        zero_y: where 0 kW lies.
        data: the same for ``headroom/chart.js``, as JSON will hold it: ``starts`` (n_period + 1) seconds since 1970 of
            the period boundaries and ``labels`` of them in local time; ``days`` where a local date begins,
            ``clock_change`` beside one; ``ticks`` of the power axis, its ends too; ``series`` with ``key``, ``label``,
            ``is_area`` and ``values`` (n_period) in ``unit``, None where there is none.
    """

    width: float
    height: float
    frame: Frame
    lines: tuple[Line, ...]
    powers: tuple[YTick, ...]
    hours: tuple[XTick, ...]
    clock_change: tuple[XTick, ...]
    days: tuple[XTick, ...]
    zero_y: float
    data: dict[str, object]


def draw_chart(grid: TimeGrid, series: tuple[Series, ...]) -> Chart:
    """Lay out ``series`` over ``grid`` with kW and local-time axes.

    Raises:
        InvalidChart: a curve whose length is not the grid's.
    """
    for curve in series:
        if curve.power_kw.shape != (grid.n_period,):
            raise InvalidChart(
                f"{curve.key} needs {grid.n_period} values, found shape {curve.power_kw.shape}", key=curve.key
            )
    powers_kw = nice_ticks(*_range_kw(series))
    frame = Frame(
        left=LEFT,
        top=TOP,
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
        low_kw=float(powers_kw[0]),
        high_kw=float(powers_kw[-1]),
        n_period=grid.n_period,
    )
    clock_change = _clock_change_ticks(grid, frame)
    return Chart(
        width=LEFT + PLOT_WIDTH + RIGHT,
        height=TOP + PLOT_HEIGHT + (CLOCK_CHANGE_BELOW if clock_change else HOURS_BELOW),
        frame=frame,
        lines=tuple(Line(curve.key, curve.label, _path(curve, frame), curve.is_area) for curve in series),
        powers=_power_ticks(powers_kw, frame),
        hours=_hour_ticks(grid, frame),
        clock_change=clock_change,
        days=_day_ticks(grid, frame),
        zero_y=round(float(frame.y(np.zeros(1))[0]), 2),
        data=_data(grid, series, powers_kw),
    )


def boundary_labels(grid: TimeGrid) -> list[str]:
    """Local time of every period boundary, the end's too; with its zone where the clocks change in between."""
    boundaries = [at.astimezone(LONDON) for at in (*grid.starts(), grid.ends_at)]
    is_change = len({at.utcoffset() for at in boundaries}) > 1
    return [f"{at:%H:%M %Z}" if is_change else f"{at:%H:%M}" for at in boundaries]


def _data(grid: TimeGrid, series: tuple[Series, ...], powers_kw: FloatArray) -> dict[str, object]:
    return {
        "unit": "kW",
        "ticks": [round(power_kw, 6) for power_kw in powers_kw.tolist()],
        "starts": [round(at.timestamp()) for at in (*grid.starts(), grid.ends_at)],
        "labels": boundary_labels(grid),
        "days": [{"boundary": at, "label": _day_label(grid, at)} for at in _first_of_days(grid)],
        "clock_change": [
            {"boundary": at, "label": label, "anchor": anchor} for at, label, anchor in _clock_changes(grid)
        ],
        "series": [
            {"key": curve.key, "label": curve.label, "is_area": curve.is_area, "values": _json_values(curve.power_kw)}
            for curve in series
        ],
    }


def _json_values(power_kw: FloatArray) -> list[float | None]:
    return [round(value, 3) if np.isfinite(value) else None for value in power_kw.tolist()]


def nice_ticks(low: float, high: float, n_tick: int = N_TICK) -> FloatArray:
    """Round values that enclose ``[low, high]``, about ``n_tick`` steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low if high > low else 1.0
    magnitude = 10.0 ** np.floor(np.log10(span / n_tick))
    step = next(size * magnitude for size in STEPS if size * magnitude >= span / n_tick * (1 - 1e-9))
    first, last = np.floor(low / step + 1e-9), np.ceil((low + span) / step - 1e-9)
    ticks: FloatArray = np.arange(first, last + 1) * step
    return ticks


def step_runs(power_kw: FloatArray, frame: Frame) -> Iterator[FloatArray]:
    """Corner points (n_point, 2) of each unbroken run of finite values: two a period, at its start and end."""
    finite = np.isfinite(power_kw)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], finite, [False]))))
    for start, end in edges.reshape(-1, 2):
        boundaries = np.repeat(np.arange(start, end + 1), 2)[1:-1]
        yield np.column_stack((frame.x(boundaries), frame.y(np.repeat(power_kw[start:end], 2))))


def _path(curve: Series, frame: Frame) -> str:
    zero_y = float(frame.y(np.zeros(1))[0])
    pieces = []
    for points in step_runs(curve.power_kw, frame):
        corners = " L".join(f"{x:.2f} {y:.2f}" for x, y in points)
        down = f" L{points[-1, 0]:.2f} {zero_y:.2f} L{points[0, 0]:.2f} {zero_y:.2f} Z" if curve.is_area else ""
        pieces.append(f"M{corners}{down}")
    return " ".join(pieces)


def _range_kw(series: tuple[Series, ...]) -> tuple[float, float]:
    """Lowest and highest power shown; zero is always in the picture."""
    values = np.concatenate([np.zeros(1), *(curve.power_kw for curve in series)])
    values = values[np.isfinite(values)]
    return float(values.min()), float(values.max())


def _power_ticks(powers_kw: FloatArray, frame: Frame) -> tuple[YTick, ...]:
    step = float(powers_kw[1] - powers_kw[0])
    n_decimal = next((n for n in range(6) if abs(step * 10**n - round(step * 10**n)) < 1e-6), 6)
    places = frame.y(powers_kw)
    return tuple(
        YTick(round(float(y), 2), f"{power_kw + 0.0:.{n_decimal}f}")
        for power_kw, y in zip(powers_kw, places, strict=True)
    )


def _x_at(frame: Frame, boundary: int) -> float:
    return round(float(frame.x(np.array([boundary]))[0]), 2)


def _hour_ticks(grid: TimeGrid, frame: Frame) -> tuple[XTick, ...]:
    """Label every third local hour, the grid's end included."""
    ticks = []
    for boundary, at in enumerate([*grid.starts(), grid.ends_at]):
        local = at.astimezone(LONDON)
        if local.hour % LABEL_HOURS == 0 and local.minute == 0:
            ticks.append(XTick(_x_at(frame, boundary), f"{local:%H:%M}"))
    return tuple(ticks)


def _clock_change_ticks(grid: TimeGrid, frame: Frame) -> tuple[XTick, ...]:
    return tuple(XTick(_x_at(frame, at), label, anchor) for at, label, anchor in _clock_changes(grid))


def _clock_changes(grid: TimeGrid) -> list[tuple[int, str, str]]:
    """Boundary, label and anchor of the hour before and after a clock change: ``01:00 BST`` and ``01:00 GMT``."""
    starts = grid.starts()
    found: list[tuple[int, str, str]] = []
    for boundary in range(1, grid.n_period):
        before, after = starts[boundary - 1].astimezone(LONDON), starts[boundary].astimezone(LONDON)
        if before.utcoffset() == after.utcoffset():
            continue
        hour_before = (starts[boundary] - timedelta(hours=1)).astimezone(LONDON)
        back = round(60 / grid.period_minutes)
        found.append((max(boundary - back, 0), f"{hour_before:%H:%M %Z}", "end"))
        found.append((boundary, f"{after:%H:%M %Z}", "start"))
    return found


def _day_ticks(grid: TimeGrid, frame: Frame) -> tuple[XTick, ...]:
    return tuple(XTick(_x_at(frame, at), _day_label(grid, at), "start") for at in _first_of_days(grid))


def _first_of_days(grid: TimeGrid) -> list[int]:
    """Boundaries where a local date begins; the grid's own start is one."""
    days = [start.astimezone(LONDON).date() for start in grid.starts()]
    return [boundary for boundary in range(grid.n_period) if boundary == 0 or days[boundary] != days[boundary - 1]]


def _day_label(grid: TimeGrid, boundary: int) -> str:
    local = grid.starts()[boundary].astimezone(LONDON)
    return f"{local:%a} {local.day} {local:%b %Y}"
