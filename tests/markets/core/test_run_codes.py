import pytest
from hypothesis import given
from hypothesis import strategies as st

from markets.core.run_codes import (
    RunCode,
    RunCodeOutOfOrder,
    RunCodeUsed,
    UnknownRunCode,
    check_code,
    find_code,
    next_code,
)

BSC = ("II", "SF", "R1", "R2", "R3", "RF", "DF")
TABLE = {
    **{code: RunCode(code, "BSC", place) for place, code in enumerate(BSC)},
    **{code: RunCode(code, "market", place) for place, code in enumerate(("PRELIM", "MONTHLY", "FINAL"))},
    "RERUN": RunCode("RERUN", "rerun", 0, is_numbered=True),
}


class TestFindCode:
    @pytest.mark.parametrize("text", ["II", "MONTHLY", "RERUN-1", "RERUN-9999"])
    def test_knows_codes_of_the_table(self, text):
        assert text.startswith(find_code(text, TABLE).code)

    @pytest.mark.parametrize("text", ["", "R9", "RERUN", "RERUN-0", "RERUN-01", "II-1", "rerun-1", "RERUN-10000"])
    def test_refuses_any_other(self, text):
        with pytest.raises(UnknownRunCode, match="is not one of II, SF"):
            find_code(text, TABLE)


class TestNextCode:
    @pytest.mark.parametrize(
        ("used", "expected"),
        [
            ((), "PRELIM"),
            (("PRELIM",), "RERUN-1"),
            (("II", "SF"), "RERUN-1"),
            (("PRELIM", "RERUN-1", "FINAL"), "RERUN-2"),
            (("PRELIM", "RERUN-9", "RERUN-10"), "RERUN-11"),
        ],
    )
    def test_is_the_first_or_the_next_rerun(self, used, expected):
        assert next_code(used) == expected


class TestCheckCode:
    @given(st.permutations(BSC))
    def test_lets_a_series_come_in_its_order_only(self, codes):
        used: list[str] = []
        for code in codes:
            if any(BSC.index(code) < BSC.index(before) for before in used):
                with pytest.raises(RunCodeOutOfOrder):
                    check_code(code, used, TABLE)
            else:
                check_code(code, used, TABLE)
                used.append(code)

    def test_lets_a_rerun_come_at_any_time_and_another_series_beside(self):
        check_code("RERUN-1", ["II", "FINAL"], TABLE)
        check_code("SF", ["II", "FINAL", "RERUN-1"], TABLE)

    def test_refuses_a_code_twice(self):
        with pytest.raises(RunCodeUsed, match="later readings belong to the next run"):
            check_code("SF", ["II", "SF"], TABLE)
