from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.delivered_file import (
    DeliveredFile,
    InvalidDeliveredFile,
    PairVolume,
    parse_delivered_file,
    render_delivered_file,
)

DAY = date(2026, 1, 14)
MSID, OTHER_MSID, EXPORT_MSID = "1012345678901", "1012345678902", "1012345678909"
AMSID, OTHER_AMSID, EXPORT_AMSID = "7012345678901", "7012345678902", "7012345678909"


def pair(volumes, **changes) -> PairVolume:
    told = PairVolume(
        gsp_group_id="_A",
        bm_unit_id="V__AFLEX001",
        import_msid=MSID,
        export_msid="",
        import_amsid=AMSID,
        export_amsid="",
        volumes=tuple((period, Decimal(mwh)) for period, mwh in volumes),
    )
    return replace(told, **changes)


def file(*pairs, day=DAY, sequence=7) -> DeliveredFile:
    return DeliveredFile(settlement_date=day, sender="flexco", sequence=sequence, pairs=pairs)


WHOLE = file(
    pair([(37, "0.0031"), (38, "-0.0002")]),
    pair([(37, "0.0000")], import_amsid=OTHER_AMSID, export_amsid=EXPORT_AMSID),
    pair([(37, "0.0040")], gsp_group_id="_B", import_msid=OTHER_MSID, export_msid=EXPORT_MSID, import_amsid=""),
)


class TestRender:
    def test_nests_the_records_of_the_flow(self):
        lines = render_delivered_file(WHOLE).decode().splitlines()

        assert lines[:-1] == [
            "ZHD|P0282002|flexco|SVAA|0000000007|",
            "MSA|20260114|",
            "MSB|_A|",
            "MSC|V__AFLEX001|",
            f"MSJ|{MSID}||",
            f"ASJ|{AMSID}||",
            "ASP|37|0.0031|",
            "ASP|38|-0.0002|",
            f"ASJ|{OTHER_AMSID}|{EXPORT_AMSID}|",
            "ASP|37|0.0000|",
            "MSB|_B|",
            "MSC|V__AFLEX001|",
            f"MSJ|{OTHER_MSID}|{EXPORT_MSID}|",
            "MSP|37|0.0040|",
        ]
        assert lines[-1].startswith("ZPT|15|")

    def test_names_no_asset_without_a_volume(self):
        silent = render_delivered_file(file(pair([]), pair([(1, "0.0010")], import_amsid=OTHER_AMSID)))

        assert AMSID.encode() not in silent
        assert render_delivered_file(file()).decode().splitlines()[1:2] == ["MSA|20260114|"]

    @given(order=st.permutations(WHOLE.pairs))
    def test_is_the_same_in_any_order(self, order):
        assert render_delivered_file(file(*order)) == render_delivered_file(WHOLE)

    @pytest.mark.parametrize(("day", "last"), [(date(2026, 3, 29), 46), (date(2026, 10, 25), 50), (DAY, 48)])
    def test_goes_to_the_last_period_of_the_day(self, day, last):
        render_delivered_file(file(pair([(last, "0.0001")]), day=day))
        with pytest.raises(InvalidDeliveredFile, match=f"periods 1 to {last}"):
            file(pair([(last + 1, "0.0001")]), day=day)


class TestParse:
    def test_reads_back_what_was_written(self):
        found = parse_delivered_file(render_delivered_file(WHOLE))

        assert sorted(found.pairs, key=lambda one: one.key) == sorted(WHOLE.pairs, key=lambda one: one.key)
        assert (found.settlement_date, found.sender, found.sequence) == (DAY, "flexco", 7)
        assert found.total_mwh == Decimal("0.0069")

    @given(
        volumes=st.dictionaries(st.integers(1, 48), st.integers(-(10**9), 10**9), max_size=48),
        others=st.dictionaries(st.integers(1, 48), st.integers(-(10**9), 10**9), max_size=48),
    )
    def test_reads_back_any_volumes(self, volumes, others):
        def told(of: dict[int, int]) -> list[tuple[int, Decimal]]:
            return [(period, Decimal(of[period]).scaleb(-4)) for period in sorted(of)]

        content = render_delivered_file(file(pair(told(volumes)), pair(told(others), import_amsid=OTHER_AMSID)))
        found = parse_delivered_file(content)

        assert render_delivered_file(found) == content
        assert found.total_mwh == sum((mwh for _, mwh in (*told(volumes), *told(others))), Decimal(0))

    @given(data=st.data())
    def test_finds_any_changed_byte(self, data):
        content = bytearray(render_delivered_file(WHOLE))
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
        with pytest.raises(InvalidDeliveredFile):
            parse_delivered_file(bytes(content))

    @pytest.mark.parametrize("content", [b"", b"ZHD|\n", b"\xff", b"ZHD|P0282001|flexco|SVAA|1|\nMSA|20260114|\n"])
    def test_refuses_what_is_no_such_file(self, content):
        with pytest.raises(InvalidDeliveredFile):
            parse_delivered_file(content)


class TestInvalid:
    @pytest.mark.parametrize(
        "change",
        [
            {"gsp_group_id": "A"},
            {"bm_unit_id": "V__TOOLONGNAME"},
            {"import_msid": "12"},
            {"export_msid": "١012345678901"},
            {"import_amsid": "7012345678901 "},
            {"import_amsid": "", "export_amsid": EXPORT_AMSID},
            {"volumes": ((2, Decimal(0)), (1, Decimal(0)))},
            {"volumes": ((1, Decimal(0)), (1, Decimal(0)))},
            {"volumes": ((1, Decimal("0.00005")),)},
            {"volumes": ((1, Decimal(10) ** 10),)},
        ],
    )
    def test_pair_is_refused(self, change):
        with pytest.raises(InvalidDeliveredFile):
            replace(pair([(1, "0.0001")]), **change)

    def test_file_names_no_pair_twice_and_no_boundary_beside_its_assets(self):
        with pytest.raises(InvalidDeliveredFile, match="twice"):
            file(pair([(1, "0.0001")]), pair([(2, "0.0001")]))
        with pytest.raises(InvalidDeliveredFile, match="beside its assets"):
            file(pair([(1, "0.0001")]), pair([(1, "0.0001")], import_amsid=""))
        with pytest.raises(InvalidDeliveredFile, match="sequence"):
            file(sequence=0)
