import numpy as np
import pytest
from django.db import DataError, transaction

from aggregator.arrays.binary_arrays import cursor_of_arrays

pytestmark = pytest.mark.django_db


class TestCursorOfArrays:
    @pytest.mark.parametrize("values", [[], [7], [-(2**63), 0, 2**63 - 1]], ids=["none", "one", "extremes"])
    def test_sends_what_comes_back(self, values):
        with cursor_of_arrays() as cursor:
            row = cursor.execute("SELECT %b, pg_typeof(%b)::text", [np.array(values, dtype=np.int64)] * 2).fetchone()
        assert row == (values, "bigint[]")

    def test_raises_as_django_does(self):
        with pytest.raises(DataError), transaction.atomic(), cursor_of_arrays() as cursor:
            cursor.execute("SELECT 1 / cardinality(%b)", [np.zeros(0, dtype=np.int64)])
