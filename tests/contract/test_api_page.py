"""Each example of docs/api.md, run as it stands, and its answer compared."""

import json
import re
import shlex
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from aggregator.adapters import reading_batches
from aggregator.core import reading_batch
from aggregator.core.reading_form import ReadingForm
from aggregator.models import Enrolment
from aggregator.services.machines import register_machine
from flex.settings import API_LIMITS
from tests.factories import make_csms, make_dno, make_node, make_organisation

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SCOPES = ["fleet:read", "fleet:write", "readings:read", "readings:write"]
VARIES = "…"
BODIES = ("-d", "--data-binary")
# How rows are stated, a row that can be read, and the codes that name its columns.
FORMS_OF_ROWS = (
    (ReadingForm(), ("m", "2026-01-14T18:00:00Z", "1.0"), ("row.starts_at", "row.energy_kwh")),
    (
        ReadingForm(convention="flexible-power", granularity="minute", quantity="power"),
        ("m", "2026-01-14T18:01:00Z", "1.0"),
        ("row.ends_at", "row.power_kw"),
    ),
)


def examples() -> list[tuple[str, Any]]:
    """(command, answer) in the order of the page."""
    blocks = BLOCK.findall(PAGE.read_text())
    commands = [text for kind, text in blocks if kind == "sh"]
    answers = [json.loads(text) for kind, text in blocks if kind == "json"]
    assert [kind for kind, _ in blocks] == ["sh", "json"] * len(commands)
    return list(zip(commands, answers, strict=True))


def ask(command: str, named: dict[str, str]) -> Any:
    """Do what curl would do; anything it is told that is not known here is a failure."""
    for name, value in named.items():
        command = command.replace(f"${name}", value)
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, headers, body, address = "", {}, None, ""
    while words:
        word = words.pop(0)
        if word == "-X":
            method = words.pop(0)
        elif word == "-H":
            name, value = words.pop(0).split(": ", 1)
            headers[name] = value
        elif word == "-u":
            headers["Authorization"] = f"Basic {b64encode(words.pop(0).encode()).decode()}"
        elif word in BODIES:
            body = words.pop(0)
        else:
            assert word.startswith(named["SITE"]), word
            address = word.removeprefix(named["SITE"])
    kind = headers.pop("Content-Type", "application/x-www-form-urlencoded")
    client = Client()
    if body is None:
        return client.generic(method or "GET", address, headers=headers)
    return client.generic(method or "POST", address, body.encode(), content_type=kind, headers=headers)


def fits(found: Any, told: Any) -> bool:
    """Whether an answer is as it is told; ``…`` stands for any text."""
    if told == VARIES:
        return isinstance(found, str) and found != ""
    if isinstance(told, dict):
        return isinstance(found, dict) and found.keys() == told.keys() and all(fits(found[k], told[k]) for k in told)
    if isinstance(told, list):
        return len(found) == len(told) and all(fits(*pair) for pair in zip(found, told, strict=True))
    return bool(found == told)


@pytest.mark.django_db
class TestApiPage:
    def test_says_what_happens(self):
        node = make_node("NR-0001-F1", dno=make_dno())
        make_node("NR-0001-F1-A", "phase", node, phase="A", dno=make_dno())
        make_csms("cpo-one")
        flexco = make_organisation("flexco")
        made = register_machine(organisation=flexco, name="fleet", scopes=SCOPES, now=timezone.now())
        named = {"SITE": "https://site", "CLIENT_ID": made.client_id, "CLIENT_SECRET": made.secret, "TOKEN": ""}
        for command, told in examples():
            own = str(Enrolment.objects.for_tenant(flexco).values_list("pk", flat=True).first() or 1)
            response = ask(command.replace("enr_1", f"enr_{own}"), named)
            found = json.loads(response.content.decode().replace(f"enr_{own}", "enr_1"))
            assert fits(found, told), f"{command}\n{response.content.decode()}"
            named["TOKEN"] = found.get("access_token", named["TOKEN"])

    def test_names_codes_there_are(self):
        sources = Path(reading_batches.__file__).read_text() + Path(reading_batch.__file__).read_text()
        columns = {
            f"row.{name}" for name in ("starts_at", "ends_at", "energy_kwh", "power_kw")
        }  # by the form asked for
        found = re.findall(r"`((?:row|reading)\.\w+)`", PAGE.read_text())
        assert columns <= set(found)
        assert [code for code in found if code not in columns and f'"{code}"' not in sources] == []

    @pytest.mark.parametrize(("form", "row", "codes"), FORMS_OF_ROWS)
    def test_names_the_column_that_cannot_be_read(self, form, row, codes):
        for at, code in enumerate(codes, start=1):
            cells = [*row[:at], "x", *row[at + 1 :]]
            content = "\n".join((f"meter,{','.join(code.removeprefix('row.') for code in codes)}", ",".join(cells)))
            batch = reading_batches.parse_reading_batch(content.encode(), reading_batches.CSV, form)
            assert [one.code for one in batch.rejected] == [code]

    def test_names_the_limits_there_are(self):
        reads, commands, rows = (API_LIMITS[name][0] for name in ("reads", "commands", "rows"))
        assert f"{reads} reads, {commands} of everything else, and {rows:,} rows" in PAGE.read_text()
