"""The file of delivered volumes a firm sends the settlement agent: P0282, version 2, by its records.

A settlement date holds GSP groups, these BM units, these pairs of boundary MSIDs, and each of those its own volumes
(MSP) or its assets' (ASJ, ASP), by settlement period. Which fields the envelope has could not be read anywhere.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import TypeAlias

from aggregator.core.errors import FlexError
from aggregator.core.timegrid import settlement_day
from markets.core.allocation import FILED_MWH

FLOW = "P0282002"
RECEIVER = "SVAA"
LARGEST_MWH = Decimal(10) ** 10  # decimal(14,4)
METERING_SYSTEM = re.compile(r"\d{13}", re.ASCII)
GSP_GROUP = re.compile(r"_[A-P]", re.ASCII)
BM_UNIT = re.compile(r"[A-Z0-9_-]{1,11}", re.ASCII)
SENDER = re.compile(r"[A-Za-z0-9_-]{1,50}", re.ASCII)
VOLUME = re.compile(r"-?\d{1,10}\.\d{4}", re.ASCII)

PeriodVolumes: TypeAlias = tuple[tuple[int, Decimal], ...]


class InvalidDeliveredFile(FlexError):
    code = "delivered_file.invalid"


@dataclass(frozen=True, slots=True)
class PairVolume:
    """Delivered volumes of one pair of metering systems, export positive.

    Attributes:
        export_msid, import_amsid, export_amsid: empty where there is none; without an AMSID the volumes are the
            boundary's own.
        volumes: settlement period and MWh with four decimals; a period without a volume is not named.

    Raises:
        InvalidDeliveredFile: an id of another shape, periods out of order or named twice, or a volume of more decimals.
    """

    gsp_group_id: str
    bm_unit_id: str
    import_msid: str
    export_msid: str
    import_amsid: str
    export_amsid: str
    volumes: PeriodVolumes

    def __post_init__(self) -> None:
        _expect_match(GSP_GROUP, "gsp_group_id", self.gsp_group_id)
        _expect_match(BM_UNIT, "bm_unit_id", self.bm_unit_id)
        _expect_match(METERING_SYSTEM, "import_msid", self.import_msid)
        for name in ("export_msid", "import_amsid", "export_amsid"):
            if getattr(self, name):
                _expect_match(METERING_SYSTEM, name, getattr(self, name))
        if self.export_amsid and not self.import_amsid:
            raise InvalidDeliveredFile(f"export_amsid {self.export_amsid} stands beside no import_amsid")
        periods = [period for period, _ in self.volumes]
        if periods != sorted(set(periods)):
            raise InvalidDeliveredFile(
                f"periods of {self.import_amsid or self.import_msid} must ascend, found {periods}"
            )
        for period, volume in self.volumes:
            if volume != volume.quantize(FILED_MWH) or abs(volume) >= LARGEST_MWH:
                raise InvalidDeliveredFile(f"period {period}: {volume} MWh is no decimal(14,4)")

    @property
    def key(self) -> tuple[str, ...]:
        pair = (self.import_msid, self.export_msid, self.import_amsid, self.export_amsid)
        return (self.gsp_group_id, self.bm_unit_id, *pair)


@dataclass(frozen=True, slots=True)
class DeliveredFile:
    """What one firm says was delivered on one settlement date.

    Raises:
        InvalidDeliveredFile: a pair named twice, a boundary both with volumes of its own and with assets, or a period
            that the date has not.
    """

    settlement_date: date
    sender: str
    sequence: int
    pairs: tuple[PairVolume, ...]

    def __post_init__(self) -> None:
        _expect_match(SENDER, "sender", self.sender)
        if not 1 <= self.sequence < 10**10:
            raise InvalidDeliveredFile(f"sequence is {self.sequence}, expected 1 to 9999999999")
        keys = [pair.key for pair in self.pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        if twice:
            raise InvalidDeliveredFile(f"{' '.join(filter(None, twice))} is named twice")
        n_period = settlement_day(self.settlement_date).n_period
        for pair in self.pairs:
            if any(not 1 <= period <= n_period for period, _ in pair.volumes):
                raise InvalidDeliveredFile(f"{self.settlement_date} has periods 1 to {n_period}, found {pair.volumes}")
        own = {pair.key[:4] for pair in self.pairs if not pair.import_amsid}
        assets = {pair.key[:4] for pair in self.pairs if pair.import_amsid}
        if own & assets:
            raise InvalidDeliveredFile(f"boundary {min(own & assets)[2]} has volumes of its own beside its assets'")

    @property
    def total_mwh(self) -> Decimal:
        return sum((volume for pair in self.pairs for _, volume in pair.volumes), Decimal("0.0000"))


def render_delivered_file(file: DeliveredFile) -> bytes:
    """The file's bytes: the same volumes give the same bytes, in whatever order they come.

    Source: docs/methods/delivered.md
    """
    records = [("ZHD", FLOW, file.sender, RECEIVER, f"{file.sequence:010d}"), *_body(file)]
    lines = "".join("|".join(record) + "|\n" for record in records).encode("ascii")
    trailer = ("ZPT", str(len(records) + 1), hashlib.sha256(lines).hexdigest())
    return lines + ("|".join(trailer) + "|\n").encode("ascii")


def _body(file: DeliveredFile) -> Iterator[tuple[str, ...]]:
    yield "MSA", f"{file.settlement_date:%Y%m%d}"
    said = sorted((pair for pair in file.pairs if pair.volumes), key=lambda pair: pair.key)
    for gsp_group_id, of_group in groupby(said, key=lambda pair: pair.gsp_group_id):
        yield "MSB", gsp_group_id
        for bm_unit_id, of_unit in groupby(of_group, key=lambda pair: pair.bm_unit_id):
            yield "MSC", bm_unit_id
            for (import_msid, export_msid), of_site in groupby(of_unit, key=lambda pair: pair.key[2:4]):
                yield "MSJ", import_msid, export_msid
                yield from _volumes_of_site(of_site)


def _volumes_of_site(pairs: Iterable[PairVolume]) -> Iterator[tuple[str, ...]]:
    for pair in pairs:
        if pair.import_amsid:
            yield "ASJ", pair.import_amsid, pair.export_amsid
        kind = "ASP" if pair.import_amsid else "MSP"
        for period, volume in pair.volumes:
            yield kind, str(period), f"{volume:.4f}"


def parse_delivered_file(content: bytes) -> DeliveredFile:
    """Read a file back, strictly.

    Raises:
        InvalidDeliveredFile: another flow, a record where none of its kind may stand, a count or digest that does not
            agree, or a value that can't be; the message names the line.
    """
    try:
        lines = content.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise InvalidDeliveredFile("the file holds characters beyond ASCII") from None
    records = [line.removesuffix("|").split("|") for line in lines[:-1]]
    if lines[-1] or len(records) < 3 or any(not line.endswith("|") for line in lines[:-1]):
        raise InvalidDeliveredFile("expected records that end with | and a line feed, three at least")
    body = content[: content.rindex(b"ZPT|")] if b"ZPT|" in content else b""
    expected = ["ZPT", str(len(records)), hashlib.sha256(body).hexdigest()]
    if records[-1] != expected:
        raise InvalidDeliveredFile(f"line {len(records)}: expected the trailer {'|'.join(expected)}|")
    head, when = records[0], records[1]
    if len(head) != 5 or head[:2] != ["ZHD", FLOW] or head[3] != RECEIVER or not re.fullmatch(r"\d{10}", head[4]):
        raise InvalidDeliveredFile(f"line 1: expected a header of {FLOW} to {RECEIVER}")
    file = DeliveredFile(_date(when), head[2], int(head[4]), tuple(_pairs(records[2:-1])))
    if render_delivered_file(file) != content:
        raise InvalidDeliveredFile("the records are not in the order or spelling they are written in")
    return file


def _date(record: list[str]) -> date:
    if len(record) != 2 or record[0] != "MSA" or not re.fullmatch(r"\d{8}", record[1]):
        raise InvalidDeliveredFile("line 2: expected MSA and the settlement date")
    try:
        return date.fromisoformat(record[1])
    except ValueError:
        raise InvalidDeliveredFile(f"line 2: {record[1]} is no date") from None


_MAY_FOLLOW = {
    "MSB": 0, "MSC": 1, "MSJ": 2, "MSP": 3, "ASJ": 3, "ASP": 4,
}  # fmt: skip
_N_FIELD = {"MSB": 2, "MSC": 2, "MSJ": 3, "MSP": 3, "ASJ": 3, "ASP": 3}


def _pairs(records: list[list[str]]) -> Iterator[PairVolume]:
    """Pairs with their volumes: a level's record closes what stood below it."""
    place: list[tuple[str, ...]] = []
    volumes: list[tuple[int, Decimal]] = []
    for line, record in enumerate(records, start=3):
        kind = record[0]
        if _N_FIELD.get(kind) != len(record) or _MAY_FOLLOW[kind] > len(place):
            raise InvalidDeliveredFile(f"line {line}: {'|'.join(record)[:80]} may not stand here")
        if kind in ("MSP", "ASP"):
            if len(place) != _MAY_FOLLOW[kind]:
                raise InvalidDeliveredFile(f"line {line}: {kind} may not stand here")
            volumes.append(_volume(line, record))
            continue
        if volumes:
            yield _pair(place, volumes)
            volumes = []
        place = [*place[: _MAY_FOLLOW[kind]], tuple(record[1:])]
    if volumes:
        yield _pair(place, volumes)


def _pair(place: list[tuple[str, ...]], volumes: list[tuple[int, Decimal]]) -> PairVolume:
    (gsp_group_id,), (bm_unit_id,), (import_msid, export_msid) = place[:3]
    import_amsid, export_amsid = place[3] if len(place) > 3 else ("", "")
    return PairVolume(gsp_group_id, bm_unit_id, import_msid, export_msid, import_amsid, export_amsid, tuple(volumes))


def _volume(line: int, record: list[str]) -> tuple[int, Decimal]:
    if not re.fullmatch(r"\d{1,2}", record[1], re.ASCII) or not VOLUME.fullmatch(record[2]):
        raise InvalidDeliveredFile(f"line {line}: expected a period and a volume with four decimals")
    return int(record[1]), Decimal(record[2])


def _expect_match(pattern: re.Pattern[str], name: str, value: str) -> None:
    if not pattern.fullmatch(value):
        raise InvalidDeliveredFile(f"{name} is {value!r}, expected {pattern.pattern}", field=name)
