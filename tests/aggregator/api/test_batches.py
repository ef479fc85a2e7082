"""Many rows in one request: what is stored, what is set aside, and that each row is accounted for."""

import gzip
import hashlib
import json
import zlib
from datetime import timedelta
from io import StringIO
from urllib.parse import urlencode

import pytest
from django.core.management import call_command
from django.utils import timezone

from aggregator.models import EVSE, Enrolment, Finding, MeterDay
from tests.aggregator.api.conftest import found
from tests.machines import as_machine, send
from tests.walls.world import mark

PATH = "/api/v1/readings:batch/"
EVSES = "/api/v1/evses:batch/"
START = "2026-01-20T10:00:00Z"


def row(kwh: float, *, meter: str = f"{mark('meter', 'alpha')}.0", at: str = START) -> dict[str, object]:
    return {"meter": meter, "starts_at": at, "energy_kwh": kwh}


def lines(*rows) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


def post(client, content: bytes, kind: str = "application/x-ndjson", **headers):
    return client.post(PATH, content, content_type=kind, headers=headers)


def taken(response) -> tuple[int, int, int, list]:
    assert response.status_code == 200, response.content
    said = response.json()
    return (
        said["accepted"],
        said["revised"],
        said["duplicates"],
        [(one["line"], one["code"]) for one in said["rejected"]],
    )


class TestReadingsInOtherForms:
    def asked(self, client, content: bytes, **query):
        return client.post(f"{PATH}?{urlencode(query)}", content, content_type="text/csv")

    def known(self, client) -> list[tuple[str, float]]:
        span = {"from": "2026-01-20T00:00:00Z", "to": "2026-01-21T00:00:00Z"}
        rows = found(client, "readings/", **span, meter=f"{mark('meter', 'alpha')}.0")["results"]
        return [(one["starts_at"], one["energy_kwh"]) for one in rows]

    def test_takes_ends_and_negative_imports_of_flexible_power(self, world, alpha):
        content = f"meter,ends_at,energy_kwh\n{mark('meter', 'alpha')}.0,2026-01-20T10:30:00Z,-1.5\n".encode()
        assert taken(self.asked(alpha, content, convention="flexible-power")) == (1, 0, 0, [])
        assert self.known(alpha) == [(START, 1.5)]
        assert taken(self.asked(alpha, content, convention="flexible-power")) == (0, 0, 1, [])

    def test_makes_half_hours_of_minutes(self, world, alpha):
        stamps = [f"2026-01-20T{10 + minute // 60}:{minute % 60:02d}:00Z" for minute in range(59)]
        powers = [6.9] * 10 + [0.0] * 20 + [3.0] * 29
        lines = "".join(f"{mark('meter', 'alpha')}.0,{at},{kw}\n" for at, kw in zip(stamps, powers, strict=True))
        response = self.asked(alpha, f"meter,starts_at,power_kw\n{lines}".encode(), granularity="minute")
        assert taken(response) == (1, 0, 0, [(32, "reading.minutes_missing")])
        assert self.known(alpha) == [(START, pytest.approx(1.15))]

    def test_takes_the_stamp_apart_from_the_sign(self, world, alpha):
        content = f"meter,ends_at,energy_kwh\n{mark('meter', 'alpha')}.0,2026-01-20T10:30:00Z,1.5\n".encode()
        assert taken(self.asked(alpha, content, stamp="period-end")) == (1, 0, 0, [])
        assert self.known(alpha) == [(START, 1.5)]

    def test_takes_stamp_and_granularity_from_a_product(self, world, alpha):
        call_command("load_catalogue", stdout=StringIO())  # nged-restore is metered by the minute, stamped at its end
        name = f"{mark('meter', 'alpha')}.0"
        ends = [f"2026-01-20T10:{minute:02d}:00Z" for minute in range(1, 31)]
        lines = "".join(f"{name},{at},3.0\n" for at in ends)
        content = f"meter,ends_at,power_kw\n{lines}".encode()
        assert taken(self.asked(alpha, content, product="nged-restore")) == (1, 0, 0, [])
        assert self.known(alpha) == [(START, 1.5)]
        for query, code in (
            ({"product": "nged-restore", "stamp": "period-end"}, "reading.invalid_form"),
            ({"product": "nobody-s"}, "markets.unknown_product"),
        ):
            refused = self.asked(alpha, content, **query)
            assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[-1]) == (422, code)

    def test_refuses_energies_of_minutes_and_words_it_does_not_know(self, world, alpha):
        content = f"meter,starts_at,energy_kwh\n{mark('meter', 'alpha')}.0,{START},1\n".encode()
        refused = self.asked(alpha, content, granularity="minute", quantity="energy")
        assert (refused.status_code, refused.json()["type"].rsplit("/", 1)[-1]) == (422, "reading.invalid_form")
        assert self.asked(alpha, content, convention="piclo").status_code == 400
        assert self.known(alpha) == []


class TestReadings:
    def test_stores_good_rows_and_records_the_others(self, world, alpha):
        content = lines(
            row(1.5),
            row(2.5, at="2026-01-20T10:30:00Z"),
            row(1.0, meter="nobody's"),
            row(1.0, meter=f"{mark('meter', 'beta')}.0"),
            row(-1.0, at="2026-01-20T11:00:00Z"),
            row(1.0, at="2099-01-01T00:00:00Z"),
            {"meter": "x"},
        )
        response = post(alpha, content)
        assert taken(response) == (
            2,
            0,
            0,
            [
                (3, "reading.unknown_meter"),
                (4, "reading.unknown_meter"),
                (5, "reading.impossible"),
                (6, "reading.in_future"),
                (7, "row.malformed"),
            ],
        )
        said = response.json()
        assert said["sha256"] == hashlib.sha256(content).hexdigest()
        span = {"from": "2026-01-20T00:00:00Z", "to": "2026-01-21T00:00:00Z"}
        known = found(alpha, "readings/", **span, meter=f"{mark('meter', 'alpha')}.0")["results"]
        assert [(one["starts_at"], one["energy_kwh"]) for one in known] == [
            ("2026-01-20T10:00:00Z", 1.5),
            ("2026-01-20T10:30:00Z", 2.5),
        ]
        notes = Finding.objects.for_tenant(world.organisations["alpha"]).filter(
            source=said["batch_id"].replace("_", ":")
        )
        assert {(note.code, note.details["n_row"]) for note in notes} == {
            ("reading.unknown_meter", 2),
            ("reading.impossible", 1),
            ("reading.in_future", 1),
            ("row.malformed", 1),
        }
        assert not MeterDay.objects.for_tenant(world.organisations["beta"]).filter(day="2026-01-20").exists()

    def test_again_changes_nothing(self, alpha):
        content = lines(row(1.5), {"meter": "x"})
        first, again = post(alpha, content), post(alpha, content)
        assert taken(first)[:3] == (1, 0, 0)
        assert taken(again)[:3] == (0, 0, 1)
        assert again.json()["batch_id"] == first.json()["batch_id"]
        assert again.json()["rejected"] == first.json()["rejected"]

    def test_keeps_another_value_beside_the_old_one(self, alpha):
        before = timezone.now()
        post(alpha, lines(row(1.5)))
        between = timezone.now()
        assert taken(post(alpha, lines(row(1.75)))) == (1, 1, 0, [])
        span = {"from": START, "to": "2026-01-20T10:30:00Z", "meter": f"{mark('meter', 'alpha')}.0"}

        def known(**at):
            return [one["energy_kwh"] for one in found(alpha, "readings/", **span, **at)["results"]]

        assert known() == [1.75]
        assert known(as_of=between.isoformat()) == [1.5]
        assert known(as_of=before.isoformat()) == []

    def test_sets_both_of_two_values_aside(self, alpha):
        assert taken(post(alpha, lines(row(1), row(2), row(3, at="2026-01-20T10:30:00Z"))))[3] == [
            (1, "reading.conflicting"),
            (2, "reading.conflicting"),
        ]

    def test_takes_csv_json_gzip_and_evses_by_their_ids(self, world, alpha):
        evse = world.evses["alpha"][1].pseudonym
        as_csv = f"evse,starts_at,energy_kwh\n{evse},{START},1.5\n".encode()
        assert taken(post(alpha, as_csv, "text/csv")) == (1, 0, 0, [])
        as_json = json.dumps([{"evse": evse, "starts_at": START, "energy_kwh": 1.5}]).encode()
        assert taken(post(alpha, as_json, "application/json")) == (0, 0, 1, [])
        packed = gzip.compress(lines(row(1.5)))
        assert taken(post(alpha, packed, **{"Content-Encoding": "gzip"})) == (1, 0, 0, [])
        others = f"evse,starts_at,energy_kwh\n{world.evses['beta'][0].pseudonym},{START},1.5\n".encode()
        assert taken(post(alpha, others, "text/csv"))[3] == [(2, "reading.unknown_meter")]

    def test_takes_a_dnos_own_meters(self, world, north):
        meter = mark("meter", "north")
        assert taken(post(north, lines(row(400.0, meter=meter), row(1)))) == (1, 0, 0, [(2, "reading.unknown_meter")])

    def test_refuses_what_is_no_batch(self, alpha):
        refused = [
            (b"", "application/x-ndjson", {}, 422),
            (b"nonsense", "application/x-ndjson", {}, 422),
            (b"a,b\n1,2\n", "text/csv", {}, 422),
            (b"\xff", "text/csv", {}, 422),
            (b"{}", "application/xml", {}, 415),
            (b"{}", "application/x-ndjson", {"Content-Encoding": "br"}, 415),
            (zlib.compress(b"{}"), "application/x-ndjson", {"Content-Encoding": "deflate"}, 415),
            (b" " * (8 * 2**20 + 1), "application/x-ndjson", {}, 413),
            (b"m\n" * 50_001, "application/x-ndjson", {}, 413),
        ]
        for content, kind, headers, status in refused:
            response = post(alpha, content, kind, **headers)
            assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")

    def test_is_closed_to_readers_and_limited_by_rows(self, world, settings):
        organisation = world.organisations["alpha"]
        assert post(as_machine(organisation, "readings:read"), lines(row(1))).status_code == 403
        settings.API_LIMITS = {**settings.API_LIMITS, "rows": (3, 3600)}
        writer = as_machine(organisation, "readings:write")
        first = post(writer, lines(row(1), row(1)))
        assert first.headers["RateLimit"].startswith('"rows";r=1')
        late = post(writer, lines(row(1), row(2)))
        assert (late.status_code, int(late.headers["Retry-After"]) > 0) == (429, True)


def new_evse(ref: str = "new-1", **changes):
    return {"evse_id": ref, "csms": "csms", "node": "north-large", "rated_kw": 7.4, **changes}


class TestEvses:
    def test_are_registered_for_who_asks(self, world, alpha):
        response = send(alpha, "POST", EVSES, {"rows": [new_evse(), new_evse("new-2", phases=3, rated_kw=22.0)]})
        assert response.status_code == 200, response.content
        said = response.json()
        assert (said["accepted"], said["duplicates"]) == (2, 0)
        ids = [one["id"] for one in said["evses"]]
        assert {row["id"] for row in found(alpha, "evses/", evse_id="new-1")["results"]} == {ids[0]}
        enrolment = Enrolment.objects.for_tenant(world.organisations["alpha"]).get(evse__pseudonym=ids[1])
        assert enrolment.ends_at is None

    def test_again_change_nothing(self, alpha):
        body = {"rows": [new_evse()]}
        first, again = send(alpha, "POST", EVSES, body).json(), send(alpha, "POST", EVSES, body).json()
        assert (again["accepted"], again["duplicates"]) == (0, 1)
        assert again["evses"] == first["evses"]

    def test_are_all_registered_or_none_with_every_error_by_its_pointer(self, world, alpha):
        n_evse = EVSE.objects.across_tenants().count()
        rows = [
            new_evse(),
            new_evse("new-2", node="nowhere"),
            new_evse("new-3", dsrsp="beta"),
            new_evse("new-4", csms="unknown", min_current_a=80.0),
        ]
        response = send(alpha, "POST", EVSES, {"rows": rows})
        assert response.status_code == 422
        pointers = {error["pointer"] for error in response.json()["errors"]}
        assert {"/rows/1/node", "/rows/2/dsrsp", "/rows/3/csms", "/rows/3/min_current_a"} <= pointers
        assert EVSE.objects.across_tenants().count() == n_evse

    def test_are_checked_against_the_schema(self, alpha):
        refused = [
            ({"phases": 2}, "/rows/0/phases"),
            ({"rated_kw": "7"}, "/rows/0/rated_kw"),
            ({"tenant": "beta"}, "/rows/0/tenant"),
            ({"services": []}, "/rows/0/services"),
            ({"enrolled_from": "2026-01-01"}, "/rows/0/enrolled_from"),
        ]
        for change, pointer in refused:
            response = send(alpha, "POST", EVSES, {"rows": [new_evse(**change)]})
            assert (response.status_code, response.json()["errors"][0]["pointer"]) == (400, pointer)
        assert send(alpha, "POST", EVSES, {"rows": []}).status_code == 400

    def test_of_another_dsrsp_switch_by_the_consumers_wish_only(self, world, alpha):
        ref = f"{mark('identity', 'beta')}.0"
        takeover = new_evse(ref)
        response = send(alpha, "POST", EVSES, {"rows": [takeover]})
        assert response.status_code == 422
        assert world.evses["beta"][0].pseudonym not in response.content.decode()
        later = (timezone.now() + timedelta(days=1)).isoformat()
        switch = new_evse(ref, enrolled_from=later, consent_evidence="form 1", consented_at=timezone.now().isoformat())
        response = send(alpha, "POST", EVSES, {"rows": [switch]})
        assert response.status_code == 200, response.content
        assert response.json()["evses"][0]["id"] is None

    def test_is_closed_to_others(self, north):
        assert send(north, "POST", EVSES, {"rows": [new_evse()]}).status_code == 403
