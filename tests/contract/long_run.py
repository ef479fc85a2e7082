"""The long run of ``make contract``: every audience, machine and person, every phase, three seeds, 50,000 requests.

Some 4,400 requests a viewer, a minute each on a busy machine of two processors.
"""

import logging
from collections import Counter

import pytest

from tests.contract.generated import machine_headers, person_headers, run
from tests.walls.world import make_world

# Viewers by seed: each audience's machine, each audience's person, and two of each once more.
VIEWERS = {
    1: ("alpha", "north", "market", "platform"),
    2: ("alpha.admin", "north.supervisor", "market.operator", "platform.admin"),
    3: ("beta", "south.supervisor", "market", "platform.auditor"),
}
N_CASE = 50_000
MAX_EXAMPLES = 5


@pytest.mark.timeout(0)
@pytest.mark.django_db(transaction=True)
def test_every_answer_is_as_the_schema_says(capsys):
    logging.getLogger("django.request").setLevel(logging.ERROR)
    world = make_world()
    failures: list[str] = []
    n_case: Counter[str] = Counter()
    for seed, viewers in VIEWERS.items():
        for who in viewers:
            headers = person_headers(who) if "." in who else machine_headers(world, who)
            report = run(headers, max_examples=MAX_EXAMPLES, seed=seed)
            failures += [f"seed {seed}, {who}: {failure}" for failure in report.failures]
            n_case += report.n_case
            with capsys.disabled():
                n_found = len(report.failures)
                print(f"seed {seed} {who}: {sum(report.n_case.values()):,} requests, {n_found} failures", flush=True)  # noqa: T201
    assert not failures, "\n\n".join(failures[:50])
    assert sum(n_case.values()) >= N_CASE, f"only {sum(n_case.values()):,} requests were made"
