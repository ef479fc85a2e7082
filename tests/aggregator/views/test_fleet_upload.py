"""A fleet registered from a file in the browser: choose, look, correct, confirm, result."""

import csv
import io
import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client

from aggregator.models import EVSE, Batch, Enrolment, Event, FleetUpload, NetworkNode, Organisation
from aggregator.site.upload_cap import MAX_BYTES
from tests.aggregator.views.people import PAYLOADS, client_of, let_proof_age, statuses, text_of
from tests.factories import make_csms, make_evse, make_feeder, make_organisation
from tests.markets.builders import make_person
from tests.people import log_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]
HEADER = "evse_id,csms,dsrsp,node,rated_kw,phases"
GOOD = f"{HEADER}\ne1,csms,amber,f-A,7.4,1\ne2,csms,amber,f,22,3\n"
START = "/fleet/register/"


@pytest.fixture
def amber() -> Organisation:
    make_csms()
    make_feeder("f")
    return make_organisation("amber")


@pytest.fixture
def client(amber) -> Client:
    return client_of(amber, "operator", "ada")


def bring(client: Client, content: str | bytes, name: str = "fleet.csv") -> HttpResponse:
    data = content if isinstance(content, bytes) else content.encode()
    return client.post(START, {"file": SimpleUploadedFile(name, data, "text/csv")})


def page_after(client: Client, content: str | bytes, name: str = "fleet.csv") -> str:
    return text_of(client.get(bring(client, content, name).url))


def has_register_button(page: str) -> bool:
    return re.search(r"<button type=\"submit\">Register \d+ rows?</button>", page) is not None


class TestWhoMayRegister:
    def test_is_operators_and_admins_of_a_dsrsp(self):
        allowed = {role for role, status in statuses(START).items() if status == 200}

        assert allowed == {"operator", "admin"}

    def test_needs_a_token_against_forgery(self, amber):
        client = client_of(amber, "operator", enforce_csrf_checks=True)

        assert bring(client, GOOD).status_code == 403
        assert client.post(f"{START}1/").status_code == 403
        assert client.post(f"{START}1/drop/").status_code == 403


class TestChoosing:
    def test_leads_to_a_preview_and_registers_nothing(self, client, amber):
        page = page_after(client, GOOD)

        assert "<dt>Rows</dt><dd>2</dd>" in page
        assert "<dt>New EVSEs</dt><dd>2</dd>" in page
        assert "<dt>Errors</dt><dd>0</dd>" in page
        assert has_register_button(page)
        assert "autofocus" not in page
        assert not EVSE.objects.across_tenants().exists()

    @pytest.mark.parametrize("content", [b"", None])
    def test_says_when_there_is_no_file(self, client, content):
        response = client.post(START, {}) if content is None else bring(client, content)

        assert response.status_code == 400
        assert 'role="alert"' in text_of(response)
        assert not FleetUpload.objects.across_tenants().exists()

    def test_takes_no_more_than_is_said(self, client):
        fits = HEADER.encode() + b"\n" + b"x" * (MAX_BYTES - len(HEADER) - 1)

        assert bring(client, fits).status_code == 302
        response = bring(client, fits + b"x")
        assert response.status_code == 400
        assert f"more than {MAX_BYTES:,} bytes" in text_of(response)
        assert FleetUpload.objects.across_tenants().count() == 1

    def test_lists_one_s_own_files_only(self, client, amber):
        bring(client, GOOD, "mine.csv")
        ben = client_of(amber, "admin", "ben")
        bring(ben, GOOD, "bens.csv")

        page = text_of(client.get(START))

        assert "mine.csv" in page
        assert "bens.csv" not in page

    def test_offers_a_template_that_can_be_read_back(self, client):
        template = client.get(f"{START}template.csv").content

        page = page_after(client, template)

        assert "<dt>Rows</dt><dd>2</dd>" in page
        assert "no CSMS has the code" in page


class TestPreview:
    @pytest.mark.parametrize(
        ("row", "line", "column", "found", "said"),
        [
            ("e9,csms,amber,f-A,x,1", 3, "rated_kw", "x", "a number of kW from 0.1 to 500"),
            ("e9,csms,amber,f-A,7.4,2", 3, "phases", "2", "1 or 3"),
            ("e9,csms,amber,f-A,7.4", 3, "(row)", "5 fields", "6 fields, as in the header"),
            ("e9,csms,blue,f-A,7.4,1", 3, "dsrsp", "blue", "register EVSEs for it only"),
            ("e9,unheard,amber,f-A,7.4,1", 3, "csms", "unheard", "no CSMS has the code"),
            ("e9,csms,amber,nowhere,7.4,1", 3, "node", "nowhere", "no network node has the code"),
            ("e9,csms,amber,f-A,7.4,3", 3, "node", "f-A", "is one phase, the EVSE has three"),
            ("e9,csms,amber,f-A,1,1", 3, "min_current_a", "6.0", "above the rating of 1 kW"),
            ("e1,csms,amber,f-A,7.4,1", 3, "evse_id", "e1", "is also on line 2"),
        ],
    )
    def test_names_each_error_with_line_column_value_and_what_is_wrong(
        self, client, amber, row, line, column, found, said
    ):
        make_organisation("blue")
        bad = f"{HEADER}\ne1,csms,amber,f-A,7.4,1\n{row}\n"

        upload = bring(client, bad).url
        page = text_of(client.get(upload))
        errors = list(csv.DictReader(io.StringIO(text_of(client.get(f"{upload}errors.csv")))))

        assert f"Column <code>{column}</code>: 1 error" in page
        assert f'<th scope="row" class="num">{line}</th><td><code>{found}</code></td>' in page
        assert said in page.replace("&#x27;", "'")
        assert not has_register_button(page)
        assert [(row["line"], row["column"], row["found"]) for row in errors] == [(str(line), column, found)]
        assert said in errors[0]["expected"]

    def test_shows_errors_of_reading_and_of_registering_at_once(self, client):
        page = page_after(client, f"{HEADER}\ne1,csms,amber,f-A,x,1\ne2,csms,amber,nowhere,7.4,1\n")

        assert "2 errors" in page
        assert "Column <code>rated_kw</code>" in page
        assert "Column <code>node</code>" in page

    @pytest.mark.parametrize("content", [b"evse_id\ne1\n", b"\xff\xff\xff", b"PK\x03\x04"])
    def test_says_why_a_file_can_not_be_read(self, client, content):
        upload = bring(client, content).url
        page = text_of(client.get(upload))

        assert "The file can’t be read" in page
        assert not has_register_button(page)
        assert client.post(upload).status_code == 409
        assert "fleet.csv" in text_of(client.get(f"{upload}errors.csv"))

    def test_tells_new_changed_switching_and_known_rows_apart(self, client, amber):
        make_evse("mine", dsrsp=amber, node=_node("f-A"), csms=make_csms())
        make_evse("theirs", dsrsp=make_organisation("blue"), node=_node("f-A"), csms=make_csms())
        rows = (
            "mine,csms,amber,f-A,11,1,,",
            "theirs,csms,amber,f-A,7.4,1,2090-01-01T00:00:00Z,form 7",
            "new,csms,amber,f-A,7.4,1,,",
        )

        page = page_after(client, "\n".join([f"{HEADER},enrolled_from,consent_evidence", *rows, ""]))

        for label in ("New EVSEs", "Changed", "Switching to Amber"):
            assert f"<dt>{label}</dt><dd>1</dd>" in page
        assert "<td>switching</td>" in page
        assert has_register_button(page)

    def test_shows_a_thousand_errors_and_offers_all_in_the_download(self, client):
        upload = bring(client, HEADER + "\n" + "e1,csms\n" * 1_200).url
        page = text_of(client.get(upload))

        assert "1200 errors" in page
        assert "The first 1000 are shown" in page
        assert page.count('<th scope="row" class="num">') == 1_000
        assert text_of(client.get(f"{upload}errors.csv")).count("\n") == 1_201

    @pytest.mark.parametrize("payload", PAYLOADS)
    @pytest.mark.parametrize("column", range(6))
    def test_escapes_names_in_every_field(self, client, payload, column):
        cells = ["e1", "csms", "amber", "f-A", "7.4", "1"]
        cells[column] = '"' + payload.replace('"', '""') + '"'
        upload = bring(client, f"{HEADER}\n{','.join(cells)}\n", f"{payload}.csv").url

        page = text_of(client.get(upload)) + text_of(client.get(START))
        errors = text_of(client.get(f"{upload}errors.csv"))

        assert "<script>alert" not in page
        assert not re.search(r'(^|,)"?=HYPERLINK', errors, re.MULTILINE)

    def test_belongs_to_its_bringer(self, client, amber):
        upload = bring(client, GOOD).url
        others = [client_of(amber, "admin", "ben"), client_of(make_organisation("blue"), "operator")]

        for other in others:
            assert other.get(upload).status_code == 404
            assert other.get(f"{upload}errors.csv").status_code == 404
            assert other.post(upload).status_code == 404
            assert other.post(f"{upload}drop/").status_code == 404
        assert client.get(upload).status_code == 200

    def test_is_not_there_once_its_bringer_acts_for_another_organisation(self, amber):
        ada = make_person("ada", amber)
        upload = bring(log_in(Client(), ada), GOOD).url
        ada.memberships.all().delete()
        make_organisation("blue").memberships.create(user=ada, role="operator")

        assert log_in(Client(), ada).get(upload).status_code == 404

    def test_asks_the_database_no_more_for_many_rows_than_for_few(self, client, django_assert_max_num_queries):
        rows = [f"e{index},csms,amber,f-A,7.4,1" for index in range(200)]
        upload = bring(client, "\n".join([HEADER, *rows, ""])).url

        with django_assert_max_num_queries(60):
            client.get(upload)


class TestRegistering:
    def test_registers_shows_the_counts_and_keeps_them(self, client, amber):
        upload = bring(client, GOOD).url

        response = client.post(upload)
        page = text_of(client.get(upload))

        assert (response.status_code, response.url) == (302, upload)
        assert "fleet.csv is registered" in page
        assert "<dt>Rows that made or changed an EVSE</dt><dd>2</dd>" in page
        assert Enrolment.objects.for_tenant(amber).count() == 2
        assert Event.objects.for_tenant(amber).filter(actor="person:ada").exists()

    def test_asks_for_a_fresh_proof_first(self, client):
        upload = bring(client, GOOD).url
        let_proof_age(client)

        response = client.post(upload)

        assert response.status_code == 302
        assert response.url.startswith("/confirm/?next=")
        assert upload in response.url
        assert not EVSE.objects.across_tenants().exists()

    def test_changes_nothing_when_clicked_twice_or_brought_again(self, client, amber):
        upload = bring(client, GOOD).url
        client.post(upload)
        client.post(upload)
        again = bring(client, GOOD).url
        page = text_of(client.get(again))
        client.post(again)

        assert "<dt>Already as stated</dt><dd>2</dd>" in page
        assert EVSE.objects.across_tenants().count() == 2
        assert Enrolment.objects.across_tenants().count() == 2
        assert Batch.objects.filter(kind="evses").count() == 1

    def test_registers_nothing_of_a_file_with_an_error(self, client):
        upload = bring(client, f"{GOOD}e3,csms,blue,f-A,7.4,1\n").url

        response = client.post(upload)

        assert response.status_code == 409
        assert not EVSE.objects.across_tenants().exists()

    def test_says_what_came_between_preview_and_registering(self, client):
        upload = bring(client, GOOD).url
        make_evse("e1", dsrsp=make_organisation("blue"), csms=make_csms())

        response = client.post(upload)

        assert response.status_code == 409
        assert "Nothing was registered" in text_of(response)
        assert "another DSRSP" in text_of(response)

    def test_stops_at_the_cap_on_controllable_power(self, client, settings):
        settings.CONTROLLABLE_CAP_MW = 0.02
        upload = bring(client, GOOD).url

        response = client.post(upload)

        assert response.status_code == 409
        assert "Nothing was registered" in text_of(response)
        assert not EVSE.objects.across_tenants().exists()

    def test_drops_a_file_on_request(self, client):
        upload = bring(client, GOOD).url

        response = client.post(f"{upload}drop/", follow=True)

        assert "was dropped" in text_of(response)
        assert client.get(upload).status_code == 404


def _node(code: str) -> NetworkNode:
    return NetworkNode.objects.get(code=code)
