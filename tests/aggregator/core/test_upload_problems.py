from aggregator.core.upload_problems import Problem, group_problems


def problem(line: int, column: str) -> Problem:
    return Problem(line, column, "found", "expected")


class TestGroupProblems:
    def test_puts_a_column_s_problems_together_by_line_the_first_line_s_column_first(self):
        groups = group_problems([problem(9, "node"), problem(4, "rated_kw"), problem(2, "node"), problem(3, "csms")])

        assert [(group.column, [one.line for one in group.problems], group.n) for group in groups] == [
            ("node", [2, 9], 2),
            ("csms", [3], 1),
            ("rated_kw", [4], 1),
        ]

    def test_of_none_are_none(self):
        assert group_problems([]) == ()
