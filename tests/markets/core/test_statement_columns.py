"""The columns of statements: each field of the interchange conventions, and what docs/formats.md says of each."""

from pathlib import Path

import pytest

from markets.core.statement_columns import FORMAT_1, FORMAT_2, LINES, PERIODS, line_values, period_values
from tests.markets.core.test_statement_file import line

DOCS = Path(__file__).parents[3] / "docs" / "formats.md"
# Names that loaders of aggregators know from Shapeshifter's FlexSettlement, and what is added to them.
KNOWN = {
    *("baseline_power", "ordered_flex_power", "actual_power", "delivered_flex_power", "power_deficiency", "price"),
    *("penalty", "net_settlement", "order_reference", "congestion_point", "baseline_reference", "contract_id"),
    *("evse_ref", "meter_quality", "settlement_date", "period", "interval_start", "interval_end"),
}


class TestColumns:
    def test_have_the_names_that_loaders_know(self):
        assert {column.name for column in (*LINES, *PERIODS)} >= KNOWN

    def test_show_each_value_once(self):
        told = line()
        for layout in (FORMAT_1, FORMAT_2):
            assert {column.key for column in layout.lines} | {"evse_ref"} == set(line_values(told))
            assert {column.key for column in layout.periods} | {"evse_ref"} == set(period_values(told, told.periods[0]))
        for columns in (LINES, PERIODS):
            assert len({column.name for column in columns}) == len(columns)

    @pytest.mark.parametrize("column", [*LINES, *PERIODS], ids=lambda column: column.name)
    def test_are_described(self, column):
        kind = f"decimal, {column.decimals}" if column.kind == "decimal" else column.kind
        example = f"`{column.example}`" if column.example else "(empty)"

        assert f"| `{column.name}` | {kind} | {column.unit} | {example} | {column.said} |" in DOCS.read_text("utf-8")
