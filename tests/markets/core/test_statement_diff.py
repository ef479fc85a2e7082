from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from markets.core.statement_diff import LineFigures, changed_lines

SIX = datetime(2026, 1, 14, 18, tzinfo=UTC)


def figures(delivered: str) -> LineFigures:
    return LineFigures(Decimal("2.5"), None, None, Decimal(delivered), 0)


versions = st.dictionaries(
    st.integers(0, 5).map(lambda index: SIX + timedelta(minutes=30 * index)),
    st.sampled_from(["0", "1", "2"]).map(figures),
)


class TestChangedLines:
    def test_tells_what_differs_in_time_order(self):
        later = SIX + timedelta(minutes=30)

        changed = changed_lines({later: figures("1"), SIX: figures("1")}, {SIX: figures("2")})

        assert [(one.starts_at, one.before, one.after) for one in changed] == [
            (SIX, figures("1"), figures("2")),
            (later, figures("1"), None),
        ]

    def test_takes_equal_energies_of_other_decimals_for_the_same(self):
        assert changed_lines({SIX: figures("1")}, {SIX: figures("1.0000")}) == ()

    @given(before=versions, after=versions)
    def test_leads_from_one_version_to_the_other(self, before, after):
        patched = dict(before)
        for change in changed_lines(before, after):
            if change.after is None:
                del patched[change.starts_at]
            else:
                patched[change.starts_at] = change.after

        assert patched == after
