"""Generated requests as four viewers; ``make contract`` asks at length."""

import logging

import pytest
from django.contrib.auth.models import User

from tests.contract.generated import PHASES, machine_headers, person_headers, run
from tests.walls.world import make_world

FEW = ("examples", "fuzzing")


@pytest.fixture
def quiet() -> None:
    """Refusals are what is asked for: thousands of them in the log say nothing."""
    log = logging.getLogger("django.request")
    kept = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(kept)


@pytest.mark.django_db(transaction=True)
class TestGeneratedRequests:
    @pytest.mark.parametrize(
        ("who", "phases", "max_examples"),
        [
            pytest.param("alpha", PHASES, 1, marks=pytest.mark.long),
            ("alpha.operator", FEW, 3),
            ("north.supervisor", FEW, 3),
            pytest.param("market.operator", FEW, 3, marks=pytest.mark.long),
            pytest.param("platform", FEW, 3, marks=pytest.mark.long),
        ],
    )
    def test_are_answered_as_the_schema_says(self, quiet, who, phases, max_examples):
        world = make_world()
        is_person = User.objects.filter(username=who).exists()
        headers = person_headers(who) if is_person else machine_headers(world, who)

        report = run(headers, max_examples=max_examples, phases=phases)

        assert not report.failures, "\n\n".join(report.failures[:10])
        assert all(report.n_case.values())
        assert sum(report.n_case.values()) >= 4 * len(report.n_case)
