from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from markets.core.settle_order import meeting_groups, zones_meet

NOON = datetime(2026, 1, 14, 12, tzinfo=UTC)
APART, SAME = np.eye(2, dtype=np.bool_), np.ones((2, 2), dtype=np.bool_)


def windows(*hours: tuple[float, float]) -> list[tuple[datetime, datetime]]:
    return [(NOON + timedelta(hours=start), NOON + timedelta(hours=end)) for start, end in hours]


class TestMeetingGroups:
    def test_joins_events_whose_windows_overlap(self):
        found = meeting_groups(windows((0, 1), (2, 4), (3, 5), (0.5, 1.5)), np.zeros(4, dtype=np.int64), APART)
        assert found == ((0, 3), (1, 2))

    def test_joins_them_by_way_of_others(self):
        """The first and the last do not meet, but both meet the long one."""
        found = meeting_groups(windows((0, 1), (4, 5), (0.5, 4.5)), np.zeros(3, dtype=np.int64), APART)
        assert found == ((0, 1, 2),)

    def test_leaves_windows_that_only_touch_apart(self):
        assert meeting_groups(windows((0, 1), (1, 2)), np.zeros(2, dtype=np.int64), APART) == ((0,), (1,))

    def test_goes_by_the_evses_too(self):
        zone = np.array([0, 1])
        assert meeting_groups(windows((0, 1), (0, 1)), zone, APART) == ((0,), (1,))
        assert meeting_groups(windows((0, 1), (0, 1)), zone, SAME) == ((0, 1),)

    @given(
        spans=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6)), max_size=12),
        seed=st.integers(0, 2**32 - 1),
    )
    def test_parts_events_so_that_none_meets_one_of_another_group(self, spans, seed):
        rng = np.random.default_rng(seed)
        zone, meet = rng.integers(0, 3, len(spans)), np.eye(3, dtype=np.bool_) | (rng.random((3, 3)) < 0.3)
        meet |= meet.T
        times = windows(*((start, start + length) for start, length in spans))
        groups = meeting_groups(times, zone, meet)
        of = {at: number for number, group in enumerate(groups) for at in group}

        assert sorted(of) == list(range(len(spans)))
        for one in of:
            for other in of:
                overlap = times[one][0] < times[other][1] and times[other][0] < times[one][1]
                assert not (overlap and meet[zone[one], zone[other]]) or of[one] == of[other]


class TestZonesMeet:
    def test_looks_for_an_evse_in_both(self):
        found = zones_meet([np.array([1, 2]), np.array([2, 3]), np.array([4])])
        np.testing.assert_array_equal(found, [[True, True, False], [True, True, False], [False, False, True]])
