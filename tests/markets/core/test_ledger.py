"""Bands of energy: hand-worked cells, and properties against a ledger that counts quantum by quantum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.ledger import NOBODY, Allocation, BandClaims, Bands, InvalidClaims, Standing, allocate_bands


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def claims_of(rows: list[tuple[int, int, int, int, int]], unpaid: tuple[int, ...] = ()) -> BandClaims:
    """Rows of (cell, party, turn, wanted, delivered)."""
    columns = np.array(rows, dtype=np.int64).reshape(len(rows), 5).T
    return BandClaims(*columns, is_paid=np.array([at not in unpaid for at in range(len(rows))], dtype=bool))


def standing(n_party: int, together: tuple[tuple[int, int], ...] = (), blocks: tuple[tuple[int, int], ...] = ()):
    may, must_not = np.zeros((n_party, n_party), dtype=bool), np.zeros((n_party, n_party), dtype=bool)
    for one, other in together:
        may[one, other] = may[other, one] = True
    for hi, lo in blocks:
        must_not[hi, lo] = True
    return Standing(may, must_not)


def paid(found: Allocation) -> list[tuple[int, int, int, int]]:
    bands = found.bands
    return sorted(zip(*(one.tolist() for one in (bands.cell, bands.party, bands.low, bands.high)), strict=True))


class TestAllocateBands:
    def test_serves_primacy_first_and_reduces_the_lower(self):
        """Delivered 10: the higher takes 7, the lower wants 5 and gets 3; 2 are displaced, by the higher."""
        found = allocate_bands(claims_of([(0, 1, 2, 5, 10), (0, 0, 1, 7, 10)]), standing(2))
        assert paid(found) == [(0, 0, 0, 7), (0, 1, 7, 10)]
        assert found.granted.tolist() == [3, 7]
        assert found.displaced.tolist() == [2, 0]
        assert found.displaced_by.tolist() == [0, NOBODY]

    def test_pays_one_band_twice_where_co_delivery_is_agreed(self):
        found = allocate_bands(claims_of([(0, 0, 1, 7, 10), (0, 1, 2, 5, 10)]), standing(2, together=((0, 1),)))
        assert paid(found) == [(0, 0, 0, 7), (0, 1, 0, 5)]
        assert found.displaced.tolist() == [0, 0]

    def test_splits_a_half_hour_between_two_without_loss(self):
        found = allocate_bands(claims_of([(0, 0, 1, 6, 10), (0, 1, 2, 4, 10)]), standing(2))
        assert paid(found) == [(0, 0, 0, 6), (0, 1, 6, 10)]
        assert found.displaced.tolist() == [0, 0]

    def test_jumps_between_half_hours_without_loss(self):
        found = allocate_bands(claims_of([(0, 0, 1, 10, 10), (1, 1, 2, 10, 10)]), standing(2))
        assert paid(found) == [(0, 0, 0, 10), (1, 1, 0, 10)]
        assert found.displaced.tolist() == [0, 0]

    def test_fills_the_gap_below_a_band_that_is_in_the_way(self):
        """Two co-deliver with the first but not with each other: the last takes what lies under the second."""
        rows = [(0, 0, 1, 4, 20), (0, 1, 2, 8, 20), (0, 2, 3, 9, 20)]
        found = allocate_bands(claims_of(rows), standing(3, together=((0, 2),)))
        assert paid(found) == [(0, 0, 0, 4), (0, 1, 4, 12), (0, 2, 0, 4), (0, 2, 12, 17)]

    def test_gives_nothing_where_a_higher_blocks(self):
        found = allocate_bands(claims_of([(0, 0, 1, 1, 10), (0, 1, 2, 5, 10)]), standing(2, blocks=((0, 1),)))
        assert found.granted.tolist() == [1, 0]
        assert found.displaced_by.tolist() == [NOBODY, 0]

    def test_leaves_what_was_paid_before_with_its_holder(self):
        held = Bands(ints(0), ints(1), ints(2), ints(6))
        found = allocate_bands(claims_of([(0, 0, 1, 9, 10)]), standing(2), held=held)
        assert paid(found) == [(0, 0, 0, 2), (0, 0, 6, 10)]
        assert (found.granted.tolist(), found.displaced.tolist(), found.displaced_by.tolist()) == ([6], [3], [1])

    def test_keeps_a_place_free_without_paying_it(self):
        found = allocate_bands(claims_of([(0, 0, 1, 4, 10), (0, 1, 2, 9, 10)], unpaid=(0,)), standing(2))
        assert paid(found) == [(0, 1, 4, 10)]
        assert found.granted.tolist() == [0, 6]
        assert found.displaced.tolist() == [0, 3]

    def test_gives_no_more_than_was_delivered_and_blames_nobody(self):
        found = allocate_bands(claims_of([(0, 0, 1, 12, 10)]), standing(1))
        assert (found.granted.tolist(), found.displaced.tolist(), found.displaced_by.tolist()) == ([10], [2], [NOBODY])

    def test_gives_nothing_to_nobody(self):
        found = allocate_bands(claims_of([]), standing(0))
        assert (paid(found), found.granted.tolist()) == ([], [])

    @pytest.mark.parametrize("rows", [[(0, 0, 1, -1, 3)], [(0, 0, 1, 1, -3)], [(0, 0, 1, 1, 1), (0, 1, 1, 1, 1)]])
    def test_refuses_what_cannot_be_meant(self, rows):
        with pytest.raises(InvalidClaims):
            claims_of(rows)

    def test_refuses_co_delivery_of_one_with_itself(self):
        with pytest.raises(InvalidClaims):
            standing(2, together=((1, 1),))


N_PARTY = 4


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[BandClaims, Standing]:
    """A few cells, each claimed by some of four parties with their own measure of what was delivered."""
    pairs = [(one, other) for one in range(N_PARTY) for other in range(one)]
    together = tuple(pair for pair in pairs if draw(st.integers(0, 3)) == 0)
    blocks = tuple((one, other) for one, other in pairs if draw(st.integers(0, 4)) == 0)
    rows = []
    for cell in range(draw(st.integers(1, 3))):
        turns = draw(st.permutations(range(N_PARTY)))
        claiming = [party for party in range(N_PARTY) if draw(st.booleans())]
        rows += [(cell, one, turns[one], draw(st.integers(0, 12)), draw(st.integers(0, 15))) for one in claiming]
    return claims_of(rows), standing(N_PARTY, together, blocks)


def one_by_one(claims: BandClaims, stands: Standing) -> list[set[int]]:
    """The same ledger, quantum by quantum in plain Python."""
    given: list[set[int]] = [set() for _ in claims.cell]
    for claim in np.lexsort((claims.turn, claims.cell)).tolist():
        before = [
            other
            for other in range(len(claims.cell))
            if claims.cell[other] == claims.cell[claim] and claims.turn[other] < claims.turn[claim]
        ]
        if any(stands.blocks[claims.party[other], claims.party[claim]] and claims.wanted[other] for other in before):
            continue
        in_way = [given[other] for other in before if not stands.together[claims.party[other], claims.party[claim]]]
        free = sorted(set(range(claims.delivered[claim])).difference(*in_way))
        given[claim] = set(free[: claims.wanted[claim]])
    return given


class TestProperties:
    @given(ledger=ledgers())
    def test_agrees_with_counting_quantum_by_quantum(self, ledger):
        claims, stands = ledger
        found = allocate_bands(claims, stands)
        counted: list[set[int]] = [set() for _ in claims.cell]
        for claim, low, high in zip(found.claim, found.bands.low, found.bands.high, strict=True):
            counted[claim] |= set(range(low, high))
        assert counted == one_by_one(claims, stands)
        assert found.granted.tolist() == [len(one) for one in counted]

    @given(ledger=ledgers())
    def test_pays_no_quantum_twice_without_a_rule(self, ledger):
        claims, stands = ledger
        bands = allocate_bands(claims, stands).bands
        for one in range(len(bands.cell)):
            for other in range(one):
                meet = bands.cell[one] == bands.cell[other] and max(bands.low[one], bands.low[other]) < min(
                    bands.high[one], bands.high[other]
                )
                assert not meet or stands.together[bands.party[one], bands.party[other]]

    @given(ledger=ledgers())
    def test_never_pays_more_than_was_claimed_or_delivered(self, ledger):
        claims, stands = ledger
        found = allocate_bands(claims, stands)
        assert (found.granted <= np.minimum(claims.wanted, claims.delivered)).all()
        assert (found.granted + found.displaced == claims.wanted).all()
        apart = allocate_bands(claims, replace(stands, together=np.zeros_like(stands.together)))
        for cell in np.unique(claims.cell):
            here = claims.cell == cell
            assert apart.granted[here].sum() <= claims.delivered[here].max()

    @given(ledger=ledgers(), order=st.randoms())
    def test_is_the_same_whatever_order_the_columns_come_in(self, ledger, order):
        claims, stands = ledger
        shuffled = list(range(len(claims.cell)))
        order.shuffle(shuffled)
        at = np.array(shuffled, dtype=np.int64)
        columns = (claims.cell, claims.party, claims.turn, claims.wanted, claims.delivered, claims.is_paid)
        found, again = allocate_bands(claims, stands), allocate_bands(BandClaims(*(one[at] for one in columns)), stands)
        assert paid(found) == paid(again)
        assert found.granted[at].tolist() == again.granted.tolist()

    @given(
        wanted=st.lists(st.integers(0, 20), min_size=1, max_size=5), delivered=st.integers(0, 40), order=st.randoms()
    )
    def test_pays_the_same_total_whoever_of_equals_arrives_first(self, wanted, delivered, order):
        turns = list(range(len(wanted)))
        order.shuffle(turns)
        rows = [(0, party, turns[party], quanta, delivered) for party, quanta in enumerate(wanted)]
        found = allocate_bands(claims_of(rows), standing(len(wanted)))
        assert found.granted.sum() == min(sum(wanted), delivered)

    @given(wanted=st.lists(st.integers(0, 20), min_size=1, max_size=5), delivered=st.integers(0, 40))
    def test_pays_one_after_another_as_it_pays_all_at_once(self, wanted, delivered):
        rows = [(0, party, party, quanta, delivered) for party, quanta in enumerate(wanted)]
        at_once, held = allocate_bands(claims_of(rows), standing(len(wanted))), Bands.none()
        for row in rows:
            new = allocate_bands(claims_of([row]), standing(len(wanted)), held=held).bands
            held = Bands(*(np.concatenate(pair) for pair in zip(_columns(held), _columns(new), strict=True)))
        assert sorted(zip(*(one.tolist() for one in _columns(held)), strict=True)) == paid(at_once)


def _columns(bands: Bands) -> tuple[np.ndarray, ...]:
    return (bands.cell, bands.party, bands.low, bands.high)
