import numpy as np

from aggregator.core.digest import digest


class TestDigest:
    def test_is_the_same_for_the_same_content(self):
        assert digest("a", np.arange(3.0)) == digest("a", np.arange(3.0))

    def test_does_not_depend_on_the_width_texts_are_stored_in(self):
        assert digest(np.array(["a", "b"], dtype="<U1")) == digest(np.array(["a", "b"], dtype="<U9"))

    def test_tells_parts_from_each_other(self):
        assert digest("ab", "c") != digest("a", "bc")

    def test_tells_shapes_from_each_other(self):
        assert digest(np.zeros((2, 3))) != digest(np.zeros((3, 2)))

    def test_tells_times_from_each_other(self):
        first = np.array(["2026-01-15T12:00"], dtype="datetime64[s]")
        assert digest(first) != digest(first + 1)
