from aggregator.core.plain_facts import LONGEST_VALUE, plain_facts


def pairs(stated):
    return [(fact.name, fact.value) for fact in plain_facts(stated)]


class TestPlainFacts:
    def test_gives_one_line_a_leaf_with_the_way_to_it(self):
        stated = {"a": 1, "window": {"starts_at": "x"}, "nodes": ["F1", {"code": "F2"}], "empty": {}}

        assert pairs(stated) == [("a", "1"), ("window.starts_at", "x"), ("nodes.1", "F1"), ("nodes.2.code", "F2")]

    def test_says_yes_no_and_nothing(self):
        assert pairs({"a": True, "b": False, "c": None}) == [("a", "yes"), ("b", "no"), ("c", "")]
        assert pairs(None) == []

    def test_cuts_what_nobody_reads(self):
        (name, value) = pairs({"a": "x" * 10_000})[0]

        assert (name, len(value), value[-1]) == ("a", LONGEST_VALUE, "…")
