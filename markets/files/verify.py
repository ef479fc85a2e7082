#!/usr/bin/env python3
"""Verify an evidence pack: signature, digests, sums and the chain of releases. Needs Python 3.9 or later alone.

    python3 verify.py PACK.zip --key KEYS.json
    python3 verify.py FOLDER --key KEYS.json

KEYS.json is what the operator of the platform publishes at /.well-known/headroom-signing-keys.json: fetch it from
there, not from the pack. Without --key the key inside the pack is used, which shows that the pack is of one piece but
not who made it. --earlier PACK.zip checks in addition that this pack's chain goes on from that pack's chain.

Ends with 0 where everything holds, with 1 and a line for each fault where it does not.

Nothing of the platform is used here, nor any library: the signature is checked in plain Python after RFC 8032.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import json
import pathlib
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

Point = tuple[int, int, int, int]

FORMAT = "headroom-evidence-2"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
GENESIS = "0" * 64
QUANTUM_KWH = Decimal("0.0001")
LARGEST = 2 * 1024**3  # bytes unpacked: a pack that claims more is refused

# --- Ed25519, RFC 8032 section 5.1.7; points in extended coordinates ----------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)


def _add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c, d = 2 * one[3] * other[3] * D % P, 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _times(factor: int, point: Point) -> Point:
    total = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _point(data: bytes) -> Point | None:
    """The point that 32 bytes stand for, or None."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def _same(one: Point, other: Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (one[1] * other[2] - other[1] * one[2]) % P == 0


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a 64-byte signature over a message is by the private half of a 32-byte public key."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, commitment = _point(public), _point(signature[:32])
    answer = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or answer >= ORDER:
        return False
    asked = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    return _same(_times(answer, BASE), _add(commitment, _times(asked, key)))


# --- reading ------------------------------------------------------------------------------------------


class Unreadable(Exception):
    """A pack or a part of it that cannot be read at all."""


def read_pack(place: str) -> dict[str, bytes]:
    """Every file of a pack by name, from a zip or a folder."""
    path = pathlib.Path(place)
    if path.is_dir():
        return {one.name: one.read_bytes() for one in sorted(path.iterdir()) if one.is_file()}
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if len(set(names)) != len(names):
                raise Unreadable("the zip holds two files of one name")
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise Unreadable("the zip unpacks to more than this verifier takes")
            return {name: archive.read(name) for name in names}
    except Unreadable:
        raise
    except Exception as error:  # a broken zip brings BadZipFile, zlib.error, OSError, struct.error and more
        raise Unreadable(f"the pack cannot be read: {error!r}") from error


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def from_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def public_keys(data: bytes) -> dict[str, bytes]:
    """Public keys by their id, from what is published."""
    found = {}
    for key in json.loads(data)["keys"]:
        raw = from_base64(key["x"])
        if key.get("crv") == "Ed25519" and sha256(raw)[:16] == key["kid"]:
            found[key["kid"]] = raw
    return found


# --- checks: each yields faults -----------------------------------------------------------------------


def check_signature(files: dict[str, bytes], keys: dict[str, bytes]) -> Iterator[str]:
    signature = json.loads(files[SIGNATURE])
    manifest = json.loads(files[MANIFEST])
    key_id = signature["key_id"]
    if signature["algorithm"] != "Ed25519" or manifest["key_id"] != key_id:
        yield f"{SIGNATURE}: algorithm or key id is not the manifest's"
    elif key_id not in keys:
        yield f"{SIGNATURE}: no published key has the id {key_id}"
    elif not is_signed(keys[key_id], files[MANIFEST], from_base64(signature["signature"])):
        yield f"{SIGNATURE}: the manifest was not signed by key {key_id}, or it was altered since"


def check_files(files: dict[str, bytes], manifest: dict[str, Any], notes: list[str]) -> Iterator[str]:
    listed = manifest["files"]
    for name in sorted(set(files) - set(listed) - {MANIFEST, SIGNATURE}):
        yield f"{name}: not in the manifest"
    for name, stated in sorted(listed.items()):
        if name not in files:
            if stated["may_be_withheld"]:
                notes.append(f"{name} was withheld from this reader; the manifest keeps its SHA-256 {stated['sha256']}")
            else:
                yield f"{name}: missing"
        elif sha256(files[name]) != stated["sha256"] or len(files[name]) != stated["size"]:
            yield f"{name}: altered, SHA-256 is {sha256(files[name])}, expected {stated['sha256']}"


def number(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise InvalidOperation(text)
    return value


def by_name(columns: list[str], record: list[Any]) -> dict[str, Any]:
    if len(columns) != len(record):
        raise ValueError(f"a record has {len(record)} cells, {len(columns)} are named")
    return dict(zip(columns, record))  # noqa: B905 - lengths are compared, and Python 3.9 has no strict


class StatementCsv:
    """The records of statement.csv."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        records = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
        self.header, self.trailer = records[0], records[-1]
        names = {record[1]: record[2:] for record in records if record[0] == "COL"}
        self.rows = [(record[0], by_name(names[record[0]], record[1:])) for record in records if record[0] in names]
        self.lines: list[tuple[dict[str, str], list[dict[str, str]]]] = []
        for kind, row in self.rows:
            if kind == "LIN":
                self.lines.append((row, []))
            else:
                self.lines[-1][1].append(row)
        if len(self.rows) + 2 + sum(record[0] in ("COL", "UNI") for record in records) != len(records):
            raise ValueError("a record is of no known kind")

    @property
    def periods(self) -> list[dict[str, str]]:
        return [row for kind, row in self.rows if kind == "PER"]


def check_statement(statement: StatementCsv, manifest: dict[str, Any]) -> Iterator[str]:
    said, stated = "statement.csv", manifest["statement"]
    body = statement.data[: statement.data[:-1].rfind(b"\n") + 1]
    delivered = sum((number(row["delivered_kwh"]) for row in statement.periods), Decimal(0))
    net = sum((number(line["net_settlement"]) for line, _ in statement.lines), Decimal(0))
    totals = ["TRL", str(len(statement.rows)), f"{delivered:.4f}", f"{net:.2f}", sha256(body)]
    if statement.trailer != totals:
        yield f"{said}: trailer {statement.trailer}, its rows give {totals}"
    header = [stated[name] for name in ("format_version", "run_id", "version", "period_from", "period_to", "as_of_utc")]
    header += [stated[name] for name in ("tenant", "currency", "input_sha256")]
    if [cell[1:] if cell[:1] == "'" else cell for cell in statement.header[1:]] != header:
        yield f"{said}: the header is not what the manifest states"
    if manifest["totals"] != by_name(["row_count", "sum_delivered_kwh", "sum_net_gbp"], totals[1:4]):
        yield f"{said}: totals {totals[1:4]}, the manifest states others"
    for line, periods in statement.lines:
        yield from check_line(f"{said}, line {line['order_reference']} {line['unit_ref']}", line, periods)


def check_line(said: str, line: dict[str, str], periods: list[dict[str, str]]) -> Iterator[str]:
    ordered = sum((number(row["ordered_flex_power"]) / 2 for row in periods), Decimal(0))
    delivered = sum((number(row["delivered_kwh"]) for row in periods), Decimal(0))
    if ordered != number(line["ordered_kwh"]) or delivered != number(line["delivered_kwh"]):
        yield f"{said}: its periods come to {ordered} kWh ordered and {delivered} kWh delivered"
    if number(line["full_value"]) - number(line["penalty"]) != number(line["net_settlement"]):
        yield f"{said}: full value less penalty is not the net settlement"
    for row in periods:
        at = f"{said}, period from {row['interval_start']}"
        delivered = number(row["delivered_kwh"])
        if number(row["delivered_flex_power"]) != delivered * 2:
            yield f"{at}: delivered power is not twice the energy delivered"
        if number(row["power_deficiency"]) != max(number(row["ordered_flex_power"]) - delivered * 2, Decimal(0)):
            yield f"{at}: the deficiency is not ordered less delivered"


def check_results(results: dict[str, Any], statement: StatementCsv) -> Iterator[str]:
    said = "results.json"
    found = [
        (row["interval_start"], row["delivered_kwh"], half(row["baseline_power"]), half(row["actual_power"]))
        for row in statement.periods
    ]
    stored = [
        (row["starts_at"], row["delivered_kwh"], row["baseline_kwh"], row["metered_kwh"]) for row in results["periods"]
    ]
    if found != stored:
        yield f"{said}: the stored half-hours are not those of statement.csv"
    figures = {
        "payment_gbp": f"{sum((number(line['net_settlement']) for line, _ in statement.lines), Decimal(0)):.2f}",
        "delivered_kwh": f"{sum((number(row['delivered_kwh']) for row in statement.periods), Decimal(0)):.4f}",
    }
    for name, text in figures.items():
        if results["statement"][name] != text:
            yield f"{said}: {name} is {results['statement'][name]}, statement.csv gives {text}"


def half(power: str) -> str | None:
    return None if power == "" else f"{number(power) / 2:.4f}"


def check_inputs(inputs: dict[str, Any], statement: StatementCsv, product: dict[str, Any]) -> Iterator[str]:
    said = "inputs.json"
    if inputs["product_version"] != [product["code"], product["version"]]:
        yield f"{said}: settled under {inputs['product_version']}, product.json is another version"
    metered = by_name(inputs["event"]["starts_at"], inputs["event"]["energy_kwh"])
    for row in statement.periods:
        if metered.get(row["interval_start"], "") != half(row["actual_power"]):
            yield f"{said}: metered energy from {row['interval_start']} is not the statement's actual power"


def check_readings(data: bytes, inputs: dict[str, Any]) -> Iterator[str]:
    """Sum the meters and compare with the portfolio's figures, scaled up where a few meters were not read."""
    said = "readings.csv"
    records = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))
    starts, meters = records[0][2:], records[1:]
    counting = [record for record in meters if record[1] == "1"]
    if len(meters) != inputs["n_meter"] or len(counting) != inputs["n_counting"]:
        yield f"{said}: {len(meters)} meters, {len(counting)} that count; inputs.json states others"
    at = {start: index + 2 for index, start in enumerate(starts)}
    series = [inputs["event"], inputs["adjustment"], *inputs["history"]]
    for one in series:
        for start, stated in by_name(one["starts_at"], one["energy_kwh"]).items():
            read = [number(record[at[start]]) for record in counting if record[at[start]]]
            fault = differs(read, len(counting), stated, number(inputs["min_meters_share"]))
            if fault:
                yield f"{said}: the half-hour from {start}: {fault}"


def differs(read: list[Decimal], n_meter: int, stated: str | None, min_share: Decimal) -> str:
    is_known = bool(read) and len(read) >= min_share * n_meter
    if not is_known or stated is None:
        return "" if is_known == (stated is not None) else "known on one side only"
    total = sum(read, Decimal(0)) * n_meter / len(read)
    allowed = QUANTUM_KWH * (1 + len(read))  # each reading and the sum are rounded once
    return "" if abs(total - number(stated)) <= allowed else f"its meters come to {total:.4f} kWh, stated {stated}"


def check_nominations(inputs: dict[str, Any], results: dict[str, Any]) -> Iterator[str]:
    """Whether each nominated baseline is one of the nominations, where every meter of the portfolio counts."""
    nominated = inputs["nominations"]
    if not nominated or inputs["n_meter"] != inputs["n_counting"]:
        return
    given = {number(str(power)) / 2 for one in nominated for power in one["power_kw"] if power is not None}
    for row in results["periods"]:
        stated = row["baseline_kwh"]
        if stated is not None and all(abs(number(stated) - one) > QUANTUM_KWH for one in given):
            yield f"inputs.json: no nomination has the baseline of the half-hour from {row['starts_at']}"


PARTS_OF_CLAIM = ("payable_kwh", "compensated_kwh", "void_kwh", "penalised_kwh")


def check_ledger(ledger: dict[str, Any], statement: StatementCsv) -> Iterator[str]:
    said = "ledger.json"
    known = {row["interval_start"] for row in statement.periods}
    left: dict[str, Decimal] = {}
    for claim in ledger["claims"]:
        at = claim["starts_at"]
        parts = sum((number(claim[name]) for name in PARTS_OF_CLAIM), Decimal(0))
        if parts != number(claim["claimed_kwh"]):
            yield f"{said}: the claim from {at} is {claim['claimed_kwh']} kWh, its parts come to {parts}"
        if at not in known:
            yield f"{said}: the claim from {at} is of no half-hour of the statement"
        left[at] = parts - number(claim["payable_kwh"])
    for one in ledger["displaced"]:
        at = one["starts_at"]
        left[at] = left.get(at, Decimal(0)) - number(one["displaced_kwh"])
    for at, rest in sorted(left.items()):
        if rest:
            yield f"{said}: what was displaced from {at} is not what was not payable, {rest} kWh apart"


def check_invoices(facts: dict[str, Any], statement: StatementCsv, key: int) -> Iterator[str]:
    said = "invoice.json"
    net = sum((number(line["net_settlement"]) for line, _ in statement.lines), Decimal(0))
    for invoice in facts["invoices"]:
        head, lines = invoice["head"], invoice["lines"]
        cells = ["invoice-1", *map(repr, head)]
        cells += [f"{one['kind']!r} {one['reference']!r} {one['amount_gbp']} {one['before_gbp']}" for one in lines]
        if sha256("\n".join(cells).encode()) != invoice["sha256"]:
            yield f"{said}: version {head[5]} is not what its SHA-256 is of"
        for name in ("amount_gbp", "before_gbp", "delta_gbp"):
            total = sum((number(one[name]) for one in lines), Decimal(0))
            if total != number(invoice[name]):
                yield f"{said}: {name} of version {head[5]} is {invoice[name]}, its lines come to {total:.2f}"
        if str(key) not in head[6].split(","):
            yield f"{said}: version {head[5]} does not add this statement up"
        own = sum((number(one["amount_gbp"]) for one in lines if one["reference"] == facts["reference"]), Decimal(0))
        if facts["is_line_of_its_own"] and own != net:
            yield f"{said}: its lines in version {head[5]} come to {own}, the statement to {net}"


def link_sha256(link: dict[str, Any], chain: str) -> str:
    text = f"headroom-{chain}-1\n{link['sequence']}\n{link['previous_sha256']}\n{link['content_sha256']}\n"
    return sha256(text.encode())


def check_links(links: list[dict[str, Any]], chain: str) -> Iterator[str]:
    previous = GENESIS
    for expected, link in enumerate(links, start=1):
        is_next = link["sequence"] == expected and link["previous_sha256"] == previous
        if not is_next or link_sha256(link, chain) != link["sha256"]:
            yield f"chain.json: {chain} {expected} does not follow from the one before it"
            return
        previous = link["sha256"]


def check_runs(chain: dict[str, Any], manifest: dict[str, Any], files: dict[str, bytes]) -> Iterator[str]:
    """The chain of all runs: its links, and that the last of them is this statement's run."""
    said, stated = "chain.json", manifest["statement"]
    yield from check_links(chain["runs"], "run")
    if not chain["runs"]:
        yield f"{said}: the statement's run is in no chain"
        return
    if sha256(chain["run_content"].encode()) != chain["runs"][-1]["content_sha256"]:
        yield f"{said}: the content of the run is not what was chained"
    covered = chain["run_content"].split("\n")
    software = manifest["settled_with"].get("markets_core_sha256", "unknown")
    for line in (
        f"statement {sha256(files['statement.csv'])}",
        f"input {stated['input_sha256']}",
        f"version {stated['version']}",
        f"code {stated['code']}",
        f"method {stated['method']}",
        f"software {software}",
    ):
        if line not in covered:
            yield f"{said}: the run does not cover the {line}"
    released = [line for line in chain["content"].split("\n") if line.startswith("run ")]
    if released and released != [f"run {chain['runs'][-1]['sha256']}"]:
        yield f"{said}: the release is of another run"


def check_chain(chain: dict[str, Any], manifest: dict[str, Any], files: dict[str, bytes]) -> Iterator[str]:
    said = "chain.json"
    broken = list(check_links(chain["links"], "release"))
    if broken:
        yield from broken
        return
    if manifest["release"] is None:
        if chain["links"] or chain["content"]:
            yield f"{said}: holds releases, the manifest states none"
        return
    if not chain["links"] or chain["links"][-1] != {name: manifest["release"][name] for name in chain["links"][-1]}:
        yield f"{said}: does not end with the release that the manifest states"
        return
    if sha256(chain["content"].encode()) != chain["links"][-1]["content_sha256"]:
        yield f"{said}: the content of the release is not what was chained"
    covered = chain["content"].split("\n")
    stated = manifest["statement"]
    for line in (f"statement {sha256(files['statement.csv'])}", f"input {stated['input_sha256']}"):
        if line not in covered:
            yield f"{said}: the release does not cover the {line}"
    if f"version {stated['version']}" not in covered:
        yield f"{said}: the release is of another version"


def check_earlier(files: dict[str, bytes], earlier: dict[str, bytes]) -> Iterator[str]:
    chains = [json.loads(one["chain.json"]) for one in (files, earlier)]
    for name in ("links", "runs"):
        links, before = (chain[name] for chain in chains)
        shorter = min(len(links), len(before))
        if links[:shorter] != before[:shorter]:
            yield "chain.json: it is not the chain of the earlier pack"


def faults(
    files: dict[str, bytes], keys: dict[str, bytes], notes: list[str], earlier: dict[str, bytes] | None = None
) -> list[str]:
    """Every fault of a pack, the signature's first; what cannot be read is a fault, too."""
    for name in (MANIFEST, SIGNATURE, "keys.json"):
        if name not in files:
            return [f"{name}: missing"]
    found: list[str] = []
    guarded(found, MANIFEST, lambda: check_signature(files, keys))
    if found:
        return found
    manifest = json.loads(files[MANIFEST])
    if manifest["format"] != FORMAT:
        return [f"{MANIFEST}: format {manifest['format']}, this verifier knows {FORMAT}"]
    guarded(found, MANIFEST, lambda: check_files(files, manifest, notes))
    if found:
        return found
    statement = StatementCsv(files["statement.csv"])
    read: dict[str, Any] = {name: json.loads(files[name]) for name in files if name.endswith(".json")}
    guarded(found, "statement.csv", lambda: check_statement(statement, manifest))
    guarded(found, "results.json", lambda: check_results(read["results.json"], statement))
    guarded(found, "chain.json", lambda: check_chain(read["chain.json"], manifest, files))
    guarded(found, "chain.json", lambda: check_runs(read["chain.json"], manifest, files))
    guarded(found, "ledger.json", lambda: check_ledger(read["ledger.json"], statement))
    key = manifest["statement"]["statement"]
    guarded(found, "invoice.json", lambda: check_invoices(read["invoice.json"], statement, key))
    if "inputs.json" in read:
        inputs = read["inputs.json"]
        guarded(found, "inputs.json", lambda: check_inputs(inputs, statement, read["product.json"]))
        guarded(found, "inputs.json", lambda: check_nominations(inputs, read["results.json"]))
        if "readings.csv" in files:
            guarded(found, "readings.csv", lambda: check_readings(files["readings.csv"], inputs))
    if earlier is not None:
        guarded(found, "chain.json", lambda: check_earlier(files, earlier))
    return found


def guarded(found: list[str], name: str, check: Callable[[], Iterable[str]]) -> None:
    try:
        found.extend(check())
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, InvalidOperation, csv.Error) as error:
        found.append(f"{name}: not of the form this verifier reads ({type(error).__name__}: {error})")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pack", help="the zip, or the folder it was unpacked to")
    parser.add_argument("--key", help="published keys, from /.well-known/headroom-signing-keys.json")
    parser.add_argument("--earlier", help="a pack of earlier, whose chain this one's must continue")
    asked = parser.parse_args(arguments)
    notes: list[str] = []
    found: list[str] = []
    try:
        files = read_pack(asked.pack)
        earlier = read_pack(asked.earlier) if asked.earlier else None
        published = pathlib.Path(asked.key).read_bytes() if asked.key else files.get("keys.json", b'{"keys": []}')
        keys = public_keys(published)
        found = faults(files, keys, notes, earlier)
    except (Unreadable, OSError, ValueError, KeyError, TypeError) as error:
        found = [str(error) or repr(error)]
    if found:
        say(*(f"FAULT  {fault}" for fault in found), f"{len(found)} fault(s): this pack does not hold.")
        return 1
    if not asked.key:
        notes.append("the key was taken from the pack itself: compare it with the published one")
    say(*(f"note   {note}" for note in notes))
    manifest = json.loads(files[MANIFEST])
    stated, totals = manifest["statement"], manifest["totals"]
    say(
        f"holds  {stated['run_id']} version {stated['version']} for {stated['tenant']}: {totals['sum_net_gbp']} "
        f"{stated['currency']}, {totals['sum_delivered_kwh']} kWh in {totals['row_count']} rows"
    )
    return 0


def say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
