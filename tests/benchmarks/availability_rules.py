"""Score planning rules on the Norwegian homes: ``python -m tests.benchmarks.availability_rules [DAYS]``.

Reads the folder named by HEADROOM_DATA (``../shared/data`` if unset) and prints the tables of
docs/methods/availability.md.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from aggregator.core.availability import COUNT_QUANTILES, QUANTILES, PlanningRule
from tests.norway import N_DAY, load_norway, scores

DEFAULT = PlanningRule()
WINDOWS = [replace(DEFAULT, plug_in_quantile=early, plug_out_quantile=1 - early) for early in (0.75, 0.5, 0.25, 0.1)]
ENERGIES = [replace(DEFAULT, energy_quantile=energy) for energy in (0.5, 0.9)]
CHANCES = [replace(DEFAULT, min_probability=chance) for chance in (0.2, 0.3)]
SPARES_KW = (0.0, 2.3, 3.6)


def main() -> None:
    n_day = int(sys.argv[1]) if len(sys.argv) > 1 else N_DAY
    norway = load_norway(Path(os.environ.get("HEADROOM_DATA", "../shared/data")))
    found = scores(norway, DEFAULT, n_day=n_day)
    tables = [
        f"{found.n_day} days, {found.n_visit} visits, Brier {found.brier:.4f} against {found.brier_constant:.4f}",
        pd.DataFrame(found.coverage, ["plug-in", "plug-out", "energy"], QUANTILES).round(3).to_string(),
        pd.DataFrame(found.pinball, ["plug-in h", "plug-out h", "energy kWh"], QUANTILES).round(3).to_string(),
        pd.DataFrame([found.count_coverage, found.count_pinball], ["covered", "pinball"], COUNT_QUANTILES).to_string(),
    ]
    sys.stdout.write("\n\n".join(tables) + "\n\nplug-in plug-out energy chance  spare  window served reserved\n")
    for rule in (*WINDOWS, *ENERGIES, *CHANCES):
        for spare_kw in SPARES_KW:
            found = scores(norway, rule, spare_kw, n_day)
            sys.stdout.write(
                f"{rule.plug_in_quantile:7} {rule.plug_out_quantile:8} {rule.energy_quantile:6} "
                f"{rule.min_probability:6} {spare_kw:6} {found.window_share:7.3f} {found.served_share:6.3f} "
                f"{found.reserved_ratio:8.2f}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
