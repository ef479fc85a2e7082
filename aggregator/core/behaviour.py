"""Seeded draws of what consumers and devices do, independent of the order they are asked for in."""

import hashlib
from dataclasses import dataclass

import numpy as np

from aggregator.core.errors import FlexError
from aggregator.core.sessions import SessionHistory
from aggregator.core.types import BoolArray, FloatArray, TimeArray

DRAW_BYTES = 8
DEFAULT_DELAY_MAX_S = 600
LARGEST_DELAY_MAX_S = 1_800


class InvalidBehaviour(FlexError):
    code = "behaviour.invalid"


class InvalidDelay(FlexError):
    code = "behaviour.invalid_delay"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How often consumers override and vehicles fail to show up.

    Of the 248 Electric Nation drivers with an override app 40 % never used it and 15 % used it once, in a
    trial of about 200 sessions a driver. How often the others did is not published: 3 % of sessions is the
    lowest whole percent at which fewer than one in twenty of them would have been counted as never or once
    in 200 sessions. The no-show rate and the moment of an override are design values without a source.

    Attributes:
        never_share, rarely_share: share of EVSEs; the rest override often.
        rarely_rate, often_rate: share of such an EVSE's sessions that are overridden.
        no_show_rate: share of sessions in which the vehicle draws nothing.
        override_within_s: an override comes uniformly within this time of plug-in, or of the session if shorter.

    Raises:
        InvalidBehaviour: a share outside 0 to 1, shares above 1 together, or a negative time.

    Source: docs/methods/availability.md
    """

    never_share: float = 0.40
    rarely_share: float = 0.15
    rarely_rate: float = 1 / 200
    often_rate: float = 0.03
    no_show_rate: float = 0.05
    override_within_s: int = 3_600

    def __post_init__(self) -> None:
        for name in ("never_share", "rarely_share", "rarely_rate", "often_rate", "no_show_rate"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidBehaviour(f"{name} is {value}, expected 0 to 1", field=name, value=value)
        if self.never_share + self.rarely_share > 1 or self.override_within_s < 0:
            raise InvalidBehaviour(
                f"never_share + rarely_share is {self.never_share + self.rarely_share}, expected at most 1; "
                f"override_within_s is {self.override_within_s}, expected 0 or more"
            )

    @property
    def mean_override_rate(self) -> float:
        """Share of all sessions overridden, when all EVSEs have the same number of sessions."""
        often_share = 1 - self.never_share - self.rarely_share
        return self.rarely_share * self.rarely_rate + often_share * self.often_rate


@dataclass(frozen=True, slots=True)
class BehaviourDraws:
    """What happens in each session.

    Attributes:
        is_absent: (n_session,) the vehicle draws nothing.
        override_at: (n_session,) ``datetime64[s]`` UTC, NaT where the consumer does not override.
    """

    is_absent: BoolArray
    override_at: TimeArray


def draw_behaviour(sessions: SessionHistory, *, behaviour: Behaviour, seed: int) -> BehaviourDraws:
    """Draw overrides and no-shows; the same seed and ids give the same draws in any order or company."""
    ids = sessions.evse_ids[sessions.evse]
    kind = _unit_draws(seed, "kind", sessions.evse_ids)[sessions.evse]
    rate = np.select(
        [kind < behaviour.never_share, kind < behaviour.never_share + behaviour.rarely_share],
        [0.0, behaviour.rarely_rate],
        behaviour.often_rate,
    )
    is_absent = _unit_draws(seed, "absent", ids, sessions.session_ids) < behaviour.no_show_rate
    overrides = ~is_absent & (_unit_draws(seed, "override", ids, sessions.session_ids) < rate)
    duration_s = (sessions.plug_out_at - sessions.plug_in_at) / np.timedelta64(1, "s")
    after_s = _unit_draws(seed, "moment", ids, sessions.session_ids) * np.minimum(
        behaviour.override_within_s, duration_s
    )
    override_at = sessions.plug_in_at + after_s.astype("timedelta64[s]")
    return BehaviourDraws(is_absent, np.where(overrides, override_at, np.datetime64("NaT", "s")))


def randomised_delay_s(evse_id: str, relevant_at: np.datetime64, max_s: int = DEFAULT_DELAY_MAX_S) -> int:
    """Whole seconds, uniform on 0 to ``max_s``, by which this EVSE delays a start or change due at ``relevant_at``.

    The same EVSE and relevant time always give the same delay, so a command sent again changes nothing.

    Args:
        relevant_at: UTC ``datetime64``, taken to the second.

    Raises:
        InvalidDelay: ``max_s`` outside 0 to ``LARGEST_DELAY_MAX_S``.

    Source: SI 2021/1467 regulation 11; docs/methods/availability.md for the reproducible draw.
    """
    if not 0 <= max_s <= LARGEST_DELAY_MAX_S:
        raise InvalidDelay(f"max_s is {max_s}, expected 0 to {LARGEST_DELAY_MAX_S} s", evse_id=evse_id, max_s=max_s)
    at = np.datetime_as_string(relevant_at.astype("datetime64[s]")) + "Z"
    return _draw(f"{evse_id}|{at}") % (max_s + 1)


def _draw(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:DRAW_BYTES], "big")


def _unit_draws(seed: int, purpose: str, *ids: np.ndarray[tuple[int], np.dtype[np.str_]]) -> FloatArray:
    """(n,) uniform on [0, 1) from the hash of seed, purpose and each row's ids; a loop, because a hash is."""
    keys = zip(*(column.tolist() for column in ids), strict=True)
    # The top 53 bits fill a float's mantissa exactly, so 1.0 is never reached.
    draws = [(_draw("|".join((str(seed), purpose, *key))) >> 11) / 2**53 for key in keys]
    return np.array(draws, dtype=np.float64)
