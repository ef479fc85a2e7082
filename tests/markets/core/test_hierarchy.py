from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.hierarchy import Applied, Command, InvalidCommand, Tier, apply_commands

HALF_HOUR = timedelta(minutes=30)
RATED_KW = 7.36


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, 15, hour, minute, tzinfo=UTC)


# gb-rules section 10.9
FEEDER = Command("feeder", Tier.NETWORK_LIMIT, 3.68, at(0), None)
SUPPLIER = Command("supplier", Tier.SUPPLIER, 0.0, at(16), at(18))
NESO = Command("neso", Tier.NESO_SERVICE, 7.36, at(16, 30), at(17, 30), "turn_up", "neso-turn-up")
DSO = Command("dso", Tier.DSO_SERVICE, 0.0, at(17), at(18), "turn_down", "su-evening")
OVERRIDDEN = Command("boost", Tier.OVERRIDE, None, at(17), None)
BLACK = Command("emergency", Tier.EMERGENCY, 0.0, at(17, 30), at(18))
WORKED = (FEEDER, SUPPLIER, NESO, DSO, OVERRIDDEN, BLACK)


def applied(commands: tuple[Command, ...], when: datetime, **kwargs: object) -> Applied:
    return apply_commands(
        commands,
        at=when,
        duration=HALF_HOUR,
        rated_kw=RATED_KW,
        default_kw=RATED_KW,
        **kwargs,  # type: ignore[arg-type]
    )


def lost(found: Applied) -> dict[str, tuple[float, str]]:
    return {one.ref: (pytest.approx(one.energy_kwh), one.cause) for one in found.displaced}


class TestWorkedExample:
    @pytest.mark.parametrize(
        ("when", "power_kw", "displaced"),
        [
            (at(16), 0.0, {}),
            (at(16, 30), 3.68, {"neso": (1.84, "network_limit")}),
            (at(17), 3.68, {"dso": (1.84, "override"), "neso": (1.84, "network_limit")}),
            (at(17, 30), 0.0, {}),
        ],
    )
    def test_applies_and_displaces_as_published(self, when, power_kw, displaced):
        found = applied(WORKED, when)
        assert found.power_kw == power_kw
        assert lost(found) == displaced

    def test_voids_all_of_the_turn_up_without_the_override(self):
        found = applied(tuple(one for one in WORKED if one is not OVERRIDDEN), at(17))
        assert found.power_kw == 0
        assert lost(found) == {"neso": (3.68, "primacy")}
        assert [one.by for one in found.displaced] == ["dso"]


class TestApplyCommands:
    def test_takes_the_tightest_cap(self):
        cap = Command("fuse", Tier.SAFETY, 5.0, at(0), None)
        assert applied((FEEDER, cap), at(12)).power_kw == 3.68
        assert applied((FEEDER, cap), at(12)).followed == "feeder"

    def test_never_exceeds_the_rating_where_nothing_is_commanded(self):
        found = applied((), at(12))
        assert (found.power_kw, found.followed, found.displaced) == (RATED_KW, "default", ())

    def test_lets_the_table_put_a_system_service_before_a_distribution_service(self):
        def table(one: Command, other: Command) -> bool | None:
            tiers = (one.tier, other.tier)
            return {(5, 4): True, (4, 5): False}.get(tiers)

        found = applied((DSO, replace(NESO, ends_at=None)), at(17), goes_before=table)
        assert found.followed == "neso"
        assert lost(found) == {"dso": (3.68, "primacy")}

    def test_does_not_let_a_table_put_anybody_before_the_consumer(self):
        found = applied((DSO, OVERRIDDEN), at(17), goes_before=lambda _one, _other: True)
        assert found.followed == "boost"

    def test_follows_the_earlier_contract_within_a_tier(self):
        early = replace(DSO, ref="early", contracted_at=at(9), power_kw=1.0)
        late = replace(DSO, ref="late", contracted_at=at(10), power_kw=2.0)
        found = applied((late, early), at(17))
        assert found.followed == "early"
        assert lost(found) == {"late": (0.5, "primacy")}

    def test_refuses_the_later_of_opposite_commands_that_nothing_orders_and_alarms(self):
        one = replace(DSO, ref="a", power_kw=0.0)
        other = replace(DSO, ref="b", power_kw=7.0, heading="turn_up")
        found = applied((one, other), at(17))
        assert found.followed == "a"
        assert [(note.code, note.subject, note.severity) for note in found.findings] == [
            ("hierarchy.opposite_commands", "b", "alarm")
        ]

    def test_ignores_a_command_replaced_by_a_later_counter(self):
        old = replace(DSO, ref="old", issuer="dno", counter=1, power_kw=3.0)
        new = replace(DSO, ref="new", issuer="dno", counter=2, power_kw=1.0)
        found = applied((old, new), at(17))
        assert found.followed == "new"
        assert [note.code for note in found.findings] == ["hierarchy.stale_command"]

    def test_holds_an_emergency_without_an_end(self):
        forever = replace(BLACK, ends_at=None)
        assert applied((SUPPLIER, forever), datetime(2026, 3, 1, tzinfo=UTC)).power_kw == 0

    def test_refuses_a_command_that_ends_before_it_starts(self):
        with pytest.raises(InvalidCommand, match="dso"):
            replace(DSO, ends_at=at(16))

    @given(powers=st.lists(st.tuples(st.sampled_from(list(Tier)), st.floats(0, 22)), max_size=8), order=st.randoms())
    def test_is_the_minimum_of_caps_and_the_strongest_commitment(self, powers, order):
        """A second way to the answer, without the ranking."""
        commands = [
            Command(f"c{index}", tier, power_kw, at(0), None, contracted_at=at(1) + timedelta(seconds=index))
            for index, (tier, power_kw) in enumerate(powers)
        ]
        caps = [power_kw for tier, power_kw in powers if tier <= 2]
        wishes = [(tier, index, power_kw) for index, (tier, power_kw) in enumerate(powers) if tier > 2]
        expected = min([RATED_KW, *caps, min(wishes)[2] if wishes else RATED_KW])
        order.shuffle(commands)
        assert applied(tuple(commands), at(12)).power_kw == expected
