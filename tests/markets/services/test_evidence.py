"""The evidence pack of a settled statement: whole and signed, verified by a program that knows nothing of us."""

import csv
import io
import json
import stat
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from markets.files import verify
from markets.files.pack import MANIFEST, SIGNATURE, Enclosure, build_pack, zipped
from markets.files.signing import SigningKey, new_signing_key_pem, read_signing_key
from markets.models import Statement
from markets.services.evidence import INPUTS, READINGS, EvidenceDiffers, EvidenceTooLarge, evidence_pack
from markets.services.invoices import InvoiceOrder, issue_invoices
from markets.services.settlement import settle_event
from markets.services.signing import key_set, signing_key
from tests.factories import make_organisation
from tests.markets.builders import make_person
from tests.markets.services.test_release_chain import release
from tests.markets.services.test_settlement import AS_OF, evening, read
from tests.people import log_in
from tests.walls.world import make_world

CLOSED = datetime(2026, 2, 15, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("site")]


@pytest.fixture(autouse=True)
def key_of_this_test(tmp_path: Path, settings) -> None:
    settings.SIGNING_KEY_FILE = tmp_path / "keys" / "signing_key.pem"
    settings.SIGNING_KEY_IS_GENERATED = True


@dataclass(frozen=True)
class Settled:
    statement: Statement
    area: object


@pytest.fixture
def settled() -> Settled:
    """Amber's statement of an evening, of which blue's second meter was read in part; released."""
    area, event, run = evening()
    settlement = settle_event(event=event, run=run, as_of=AS_OF)
    release(settlement)
    found = Statement.objects.across_tenants().select_related(
        "settlement_run__event__signal", "settlement_run__event__product", "organisation"
    )
    return Settled(found.get(settlement_run=settlement, organisation__code="amber"), area)


@pytest.fixture
def pack(settled) -> bytes:
    return evidence_pack(statement=settled.statement, with_readings=True).content


def files_of(pack: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(pack)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def faults_of(files: dict[str, bytes], keys: bytes | None = None) -> list[str]:
    return verify.faults(files, verify.public_keys(keys or key_set()), [])


def verified(folder: Path, pack: bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the pack's own verifier in a process that has nothing but Python: no packages, no environment."""
    (folder / "pack.zip").write_bytes(pack)
    (folder / "keys.json").write_bytes(key_set())
    verifier = folder / "verify.py"
    verifier.write_bytes(Path(verify.__file__).read_bytes())
    return subprocess.run(
        [sys.executable, "-I", "-S", str(verifier), "pack.zip", *arguments],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )


def signed_again(files: dict[str, bytes], key: SigningKey) -> dict[str, bytes]:
    """What somebody makes of a pack who can sign: every digest fits."""
    manifest = json.loads(files[MANIFEST])
    facts = {name: value for name, value in manifest.items() if name not in ("files", "format", "key_id")}
    made = ("verify.py", "keys.json", "README.txt", MANIFEST, SIGNATURE)
    enclosures = {
        name: Enclosure(content, "", manifest["files"][name]["may_be_withheld"])
        for name, content in files.items()
        if name not in made
    }
    return files_of(build_pack(enclosures, facts=facts, key=key))


class TestEvidencePack:
    def test_is_verified_by_its_own_program_with_nothing_else(self, pack, tmp_path):
        found = verified(tmp_path, pack, "--key", "keys.json")

        assert (found.stderr, found.returncode) == ("", 0)
        assert found.stdout.startswith("holds  ")
        assert " for amber: 5.84 GBP, " in found.stdout

    def test_says_where_the_key_came_from_if_not_from_the_reader(self, pack, tmp_path):
        found = verified(tmp_path, pack)

        assert found.returncode == 0
        assert "the key was taken from the pack itself" in found.stdout

    def test_is_verified_unpacked_too(self, pack, tmp_path):
        folder = tmp_path / "unpacked"
        folder.mkdir()
        for name, content in files_of(pack).items():
            (folder / name).write_bytes(content)

        assert verify.main([str(folder)]) == 0
        (folder / "more.txt").write_text("x")
        assert verify.main([str(folder)]) == 1

    def test_is_the_same_bytes_again_whatever_is_released_later(self, settled, pack):
        run = settled.statement.settlement_run
        read(settled.area, 0, [1.0] * 4, late=timedelta(hours=9))
        release(settle_event(event=run.event, run=run.dispatch_run, as_of=AS_OF + timedelta(days=2)))

        assert evidence_pack(statement=settled.statement, with_readings=True).content == pack

    def test_holds_what_the_figures_came_from(self, settled, pack):
        files = files_of(pack)
        inputs, product = json.loads(files[INPUTS]), json.loads(files["product.json"])
        meters = list(csv.reader(io.StringIO(files[READINGS].decode())))

        assert set(files) == {
            *("manifest.json", "manifest.sig", "README.txt", "verify.py", "keys.json", "chain.json", "inputs.json"),
            *("product.json", "readings.csv", "results.json", "ledger.json", "invoice.json"),
            *("statement.csv", "statement.xlsx", "statement.parquet", "statement.pdf"),
        }
        assert files["statement.csv"] == bytes(settled.statement.content)
        assert (inputs["n_meter"], inputs["n_counting"], len(meters) - 1) == (3, 3, 3)
        assert len(inputs["history"]) == 60
        assert inputs["product_version"] == [product["code"], product["version"]]
        assert "csms" not in files[READINGS].decode()  # pseudonyms, not identities
        manifest = json.loads(files[MANIFEST])
        assert manifest["release"]["sequence"] == 1
        assert len(manifest["software"]["markets_core_sha256"]) == 64

    def test_states_what_settled_it_and_what_packed_it(self, settled, pack):
        manifest = json.loads(files_of(pack)[MANIFEST])
        assert manifest["settled_with"] == settled.statement.settlement_run.software == manifest["software"]

    def test_states_what_the_ledger_made_of_it(self, settled, pack):
        facts = json.loads(files_of(pack)["ledger.json"])
        assert [claim["starts_at"] for claim in facts["claims"]] == [
            f"2026-01-15T{at}:00Z" for at in ("17:00", "17:30", "18:00", "18:30")
        ]
        assert all(claim["payable_kwh"] == claim["claimed_kwh"] for claim in facts["claims"])
        assert facts["displaced"] == []

    def test_states_the_invoice_line_it_went_into(self, settled):
        order = InvoiceOrder(product_code="su", month=date(2026, 1, 1), now=CLOSED, cutoff_day=15)
        issue_invoices(order)
        monthly = Statement.objects.across_tenants().get(
            settlement_run__code="MONTHLY", organisation=settled.statement.organisation
        )
        files = files_of(evidence_pack(statement=monthly, with_readings=True).content)
        facts = json.loads(files["invoice.json"])

        (invoice,) = facts["invoices"]
        assert [(line["reference"], line["amount_gbp"]) for line in invoice["lines"]] == [("CALL-1", "5.84")]
        assert faults_of(files) == []
        for old, new, said in (
            (b'"amount_gbp": "5.84"', b'"amount_gbp": "5.85"', "come to 5.84"),
            (b'"kind": "utilisation"', b'"kind": "availability"', "SHA-256"),
            (b'"delta_gbp": "5.84"', b'"delta_gbp": "5.85"', "come to 5.84"),
        ):
            assert old in files["invoice.json"]
            forged = signed_again({**files, "invoice.json": files["invoice.json"].replace(old, new, 1)}, signing_key())
            assert any(said in fault for fault in faults_of(forged)), faults_of(forged)

    def test_of_a_preliminary_statement_states_no_release(self, tmp_path):
        _, event, run = evening()
        settlement = settle_event(event=event, run=run, as_of=AS_OF)
        for statement in Statement.objects.across_tenants().filter(settlement_run=settlement):
            pack = evidence_pack(statement=statement, with_readings=True).content
            assert json.loads(files_of(pack)[MANIFEST])["release"] is None
            assert faults_of(files_of(pack)) == []

    def test_holds_for_a_meter_that_was_read_in_part(self):
        area, event, run = evening()
        read(area, 0, [0.5, 0.5], late=timedelta(minutes=1))
        settlement = settle_event(event=event, run=run, as_of=AS_OF)
        for statement in Statement.objects.across_tenants().filter(settlement_run=settlement):
            assert faults_of(files_of(evidence_pack(statement=statement, with_readings=True).content)) == []

    def test_is_refused_where_the_readings_no_longer_give_the_statement(self, settled):
        read(settled.area, 0, [2.0] * 4, late=timedelta(minutes=90))  # came before as_of, was stored after

        with pytest.raises(EvidenceDiffers, match=r"states .* kWh metered from 2026-01-15T17:00:00Z"):
            evidence_pack(statement=settled.statement, with_readings=True)

    def test_is_refused_where_it_would_be_too_large(self, settled):
        with pytest.raises(EvidenceTooLarge):
            evidence_pack(statement=settled.statement, with_readings=True, most_readings=100)


class TestWorldOfTheWalls:
    def test_has_statements_that_its_own_readings_give(self):
        """Generated requests ask for their evidence: a refusal there would be the world's fault."""
        make_world()
        statements = list(Statement.objects.across_tenants().all())
        assert statements
        for statement in statements:
            assert evidence_pack(statement=statement, with_readings=True).content


class TestWithholding:
    def test_keeps_readings_and_the_sums_of_few_meters_from_others(self, settled, pack, tmp_path):
        told = evidence_pack(statement=settled.statement, with_readings=False).content
        whole, files = files_of(pack), files_of(told)

        assert set(whole) - set(files) == {READINGS, INPUTS}
        assert files[MANIFEST] == whole[MANIFEST]
        assert files[SIGNATURE] == whole[SIGNATURE]
        found = verified(tmp_path, told, "--key", "keys.json")
        assert found.returncode == 0
        assert f"{READINGS} was withheld" in found.stdout

    def test_lets_what_was_withheld_be_handed_over_and_checked(self, settled, pack):
        whole = files_of(pack)
        files = files_of(evidence_pack(statement=settled.statement, with_readings=False).content)

        assert faults_of({**files, READINGS: whole[READINGS], INPUTS: whole[INPUTS]}) == []
        assert faults_of({**files, READINGS: whole[READINGS] + b"\n"}) != []

    def test_takes_nothing_else_away(self, pack):
        for name in set(files_of(pack)) - {READINGS, INPUTS}:
            files = files_of(pack)
            del files[name]
            assert faults_of(files) == [f"{name}: missing"], name


class TestTampering:
    def test_with_any_file_is_found_by_the_stand_alone_program(self, pack, tmp_path):
        files = files_of(pack)
        for name, content in files.items():
            middle = len(content) // 2
            altered = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            found = verified(tmp_path, zipped({**files, name: altered}), "--key", "keys.json")
            assert found.returncode == 1, name
            assert found.stdout.startswith("FAULT"), name
            assert found.stderr == "", name

    def test_with_any_row_of_any_file_is_found(self, pack):
        files = files_of(pack)
        for name in ("statement.csv", "results.json", "inputs.json", "readings.csv", "product.json", "chain.json"):
            lines = files[name].split(b"\n")
            for at in range(len(lines) - 1):
                swapped = b"\n".join([*lines[:at], lines[at] + b" ", *lines[at + 1 :]])
                dropped = b"\n".join([*lines[:at], *lines[at + 1 :]])
                assert faults_of({**files, name: swapped}), (name, at)
                assert faults_of({**files, name: dropped}), (name, at)

    def test_with_any_line_of_the_manifest_is_found(self, pack):
        files = files_of(pack)
        lines = files[MANIFEST].split(b"\n")
        for at in range(len(lines) - 1):
            altered = b"\n".join([*lines[:at], lines[at] + b" ", *lines[at + 1 :]])
            assert faults_of({**files, MANIFEST: altered}), lines[at]

    def test_is_found_where_a_stranger_signs_it(self, pack):
        stranger = read_signing_key(new_signing_key_pem())
        forged = signed_again(files_of(pack), stranger)

        assert faults_of(forged) == [f"{SIGNATURE}: no published key has the id {stranger.public.key_id}"]

    @pytest.mark.parametrize(
        ("name", "old", "new", "said"),
        [
            ("statement.csv", b"\nTRL,5,", b"\nTRL,6,", "trailer"),
            ("statement.csv", b",A\nTRL", b",E\nTRL", "trailer"),
            ("statement.csv", b",5.84,", b",5.94,", "trailer"),
            ("results.json", b'"payment_gbp": "5.84"', b'"payment_gbp": "5.85"', "payment_gbp is 5.85"),
            ("results.json", b'"metered_kwh": "0.0000"', b'"metered_kwh": "0.0001"', "stored half-hours"),
            ("product.json", b'"version": 1', b'"version": 2', "another version"),
            ("inputs.json", b'"n_meter": 3', b'"n_meter": 4', "inputs.json states others"),
            ("chain.json", b"version 1", b"version 2", "not what was chained"),
            (
                "chain.json",
                b'"runs": [\n  {\n   "content_sha256": "',
                b'"runs": [\n  {\n   "content_sha256": "0',
                "run 1",
            ),
            ("chain.json", b"headroom-run-content-1", b"headroom-run-content-9", "content of the run"),
            ("manifest.json", b'"code": "PRELIM"', b'"code": "FINAL"', "the run does not cover the code"),
            ("ledger.json", b'"payable_kwh": "', b'"payable_kwh": "9', "its parts come to"),
            ("chain.json", b'"sequence": 1', b'"sequence": 2', "does not follow"),
        ],
    )
    def test_is_found_by_the_sums_where_the_platform_itself_signs(self, pack, name, old, new, said):
        files = files_of(pack)
        assert old in files[name], name
        forged = signed_again({**files, name: files[name].replace(old, new, 1)}, signing_key())

        assert any(said in fault for fault in faults_of(forged)), faults_of(forged)

    def test_with_any_reading_is_found_by_the_sums(self, pack):
        files = files_of(pack)
        rows = list(csv.reader(io.StringIO(files[READINGS].decode())))
        for row in range(1, len(rows)):
            read = [column for column in range(2, len(rows[0])) if rows[row][column]]  # others are in no sum
            assert len(read) > 100
            for column in read[::37]:
                altered = [list(one) for one in rows]
                altered[row][column] = repr(float(altered[row][column]) + 0.01)
                target = io.StringIO(newline="")
                csv.writer(target, lineterminator="\n").writerows(altered)
                forged = signed_again({**files, READINGS: target.getvalue().encode()}, signing_key())
                assert any(fault.startswith("readings.csv: the half-hour from") for fault in faults_of(forged))

    def test_is_found_in_what_is_no_zip_at_all(self, pack, tmp_path):
        for broken in (b"", b"PK", pack[: len(pack) // 2], pack.replace(b"PK\x01\x02", b"PK\x01\x03", 1)):
            found = verified(tmp_path, broken)
            assert (found.returncode, found.stderr) == (1, "")
            assert found.stdout.startswith("FAULT  ")

    def test_with_the_chain_is_found_beside_an_earlier_pack(self, settled, pack, tmp_path):
        run = settled.statement.settlement_run
        read(settled.area, 0, [1.0] * 4, late=timedelta(hours=9))
        again = settle_event(event=run.event, run=run.dispatch_run, as_of=AS_OF + timedelta(days=2))
        release(again)
        later = evidence_pack(
            statement=Statement.objects.across_tenants().get(settlement_run=again, organisation__code="amber"),
            with_readings=True,
        ).content
        (tmp_path / "earlier.zip").write_bytes(pack)

        assert verified(tmp_path, later, "--key", "keys.json", "--earlier", "earlier.zip").returncode == 0
        files = files_of(pack)
        chain = json.loads(files["chain.json"])
        chain["links"][0]["released_by"] = "somebody else"
        (tmp_path / "earlier.zip").write_bytes(zipped({**files, "chain.json": json.dumps(chain).encode()}))
        found = verified(tmp_path, later, "--key", "keys.json", "--earlier", "earlier.zip")
        assert "it is not the chain of the earlier pack" in found.stdout


class TestSigningKey:
    def test_is_made_once_and_only_its_owner_reads_it(self, settings):
        first = signing_key().public

        assert signing_key().public == first
        assert stat.S_IMODE(Path(settings.SIGNING_KEY_FILE).stat().st_mode) == 0o600
        assert [path.name for path in Path(settings.SIGNING_KEY_FILE).parent.iterdir()] == ["signing_key.pem"]

    def test_may_be_replaced_and_old_packs_still_hold(self, settings, pack, tmp_path):
        retired = signing_key().public
        settings.SIGNING_KEY_FILE = tmp_path / "second.pem"
        call_command("make_signing_key", str(settings.SIGNING_KEY_FILE), verbosity=0)
        assert faults_of(files_of(pack)) == [f"{SIGNATURE}: no published key has the id {retired.key_id}"]

        settings.SIGNING_RETIRED_KEYS = [retired.text]

        assert faults_of(files_of(pack)) == []
        assert [key["status"] for key in json.loads(key_set())["keys"]] == ["current", "retired"]
        with pytest.raises(CommandError, match="never written over"):
            call_command("make_signing_key", str(settings.SIGNING_KEY_FILE))

    def test_is_published_to_everybody(self, client):
        response = client.get("/.well-known/headroom-signing-keys.json")

        assert response.status_code == 200
        (key,) = response.json()["keys"]
        assert key["kid"] == signing_key().public.key_id
        assert b"d" not in response.json()["keys"][0]  # the private half
        assert set(key) == {"kty", "crv", "alg", "use", "kid", "x", "status"}


class TestReaders:
    def test_get_the_pack_each_as_they_may(self, settled):
        readers = {
            "amber": (settled.statement.organisation, "operator", True),
            "market": (make_organisation("elx", "market_operator"), "market_operator", False),
            "auditor": (make_organisation("headroom", "platform"), "auditor", False),
        }
        for name, (organisation, role, sees) in readers.items():
            client = log_in(Client(), make_person(name, organisation, role))
            response = client.get(f"/statements/{settled.statement.pk}.zip")
            assert response.status_code == 200, name
            assert response.headers["Content-Type"] == "application/zip"
            assert (READINGS in files_of(response.content)) == sees, name
            assert faults_of(files_of(response.content)) == []
            api = client.get(f"/api/v1/statements/statement_{settled.statement.pk}/evidence/")
            assert api.content == response.content
        other = log_in(Client(), make_person("blue", make_organisation("blue"), "operator"))
        assert other.get(f"/statements/{settled.statement.pk}.zip").status_code == 404

    def test_are_told_where_it_is_refused(self, settled):
        read(settled.area, 0, [2.0] * 4, late=timedelta(minutes=90))
        client = log_in(Client(), make_person("amber", settled.statement.organisation, "operator"))

        page = client.get(f"/statements/{settled.statement.pk}.zip")
        api = client.get(f"/api/v1/statements/statement_{settled.statement.pk}/evidence/")

        assert (page.status_code, api.status_code) == (409, 409)
        assert b"verify_statement" in page.content

    def test_on_the_command_line_get_it_whole_or_as_somebody(self, settled, pack, tmp_path, capsys):
        call_command("evidence_pack", str(settled.statement.pk), str(tmp_path / "whole.zip"))
        call_command("evidence_pack", str(settled.statement.pk), str(tmp_path / "told.zip"), "--for", "amber")

        assert (tmp_path / "whole.zip").read_bytes() == (tmp_path / "told.zip").read_bytes() == pack
        assert "SHA-256" in capsys.readouterr().out
        with pytest.raises(CommandError, match=r"no statement .* for blue"):
            call_command("evidence_pack", str(settled.statement.pk), str(tmp_path / "x.zip"), "--for", "blue")
        with pytest.raises(CommandError, match="no organisation"):
            call_command("evidence_pack", str(settled.statement.pk), str(tmp_path / "x.zip"), "--for", "nobody")
        with pytest.raises(CommandError, match="there is no statement 0"):
            call_command("evidence_pack", "0", str(tmp_path / "x.zip"))
