"""Draw a DSRSP's control group."""

import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from aggregator.management.importing import find_organisation
from aggregator.management.options import day
from aggregator.models import Organisation
from markets.models import ControlGroup
from markets.services.control_groups import SEEDS, draw_control_group


class Command(BaseCommand):
    help = "Keep EVSEs of a DSRSP out of the events of a product, as a control group: drawn at random, or named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("dsrsp", help="code of the DSRSP")
        parser.add_argument("product", help="code of a product whose baseline is a control group's")
        parser.add_argument("node", help="code of the zone's network node; events there and below")
        parser.add_argument("--from", dest="valid_from", type=day, required=True, help="first settlement date")
        parser.add_argument("--to", dest="valid_until", type=day, help="last settlement date")
        parser.add_argument("--n-evse", type=int, help="EVSEs kept out at a time")
        parser.add_argument("--seed", type=int, help="of the draw; one is made up and printed where it is left out")
        parser.add_argument("--evse", dest="evses", action="append", help="pseudonym of an EVSE instead; repeat it")
        parser.add_argument("--rotates", choices=ControlGroup.Rotates.values, default="never")
        parser.add_argument("--turns", dest="n_turn", type=int, default=1, help="sets of EVSEs that take turns")

    def handle(self, *_args: Any, **options: Any) -> None:
        seed = options["seed"]
        if seed is None and options["n_evse"] is not None:
            seed = secrets.randbelow(SEEDS)
        group = draw_control_group(
            organisation=find_organisation(
                options["dsrsp"], kind=Organisation.Kind.DSRSP, option="DSRSP", may_register=False
            ),
            product=options["product"],
            node=options["node"],
            valid_from=options["valid_from"],
            valid_until=options["valid_until"],
            now=timezone.now(),
            n_evse=options["n_evse"],
            seed=seed,
            evses=options["evses"],
            rotates=options["rotates"],
            n_turn=options["n_turn"],
        )
        drawn = "named" if group.seed is None else f"drawn with seed {group.seed}"
        turns = "" if group.n_turn == 1 else f", {group.n_turn} sets in turn ({group.rotates})"
        self.stdout.write(
            f"{group}: {group.n_evse} EVSEs at a time{turns}, {drawn}; for {group.product.code} at and below "
            f"{group.node.code}"
        )
