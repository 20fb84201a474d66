import math

from nas.report.compared_curves import mean_of


def test_the_mean_is_over_those_that_have_a_number() -> None:
    first = [(1.0, 1.0), (2.0, None), (3.0, 5.0)]
    second = [(1.0, 3.0), (2.0, None)]
    assert mean_of([first, second]) == [(1.0, 2.0), (2.0, None), (3.0, 5.0)]
    (only,) = mean_of([[(4.0, 0.1)], [(4.0, 0.2)], [(4.0, 0.6)]])
    assert only[0] == 4.0 and only[1] is not None and math.isclose(only[1], 0.3)
