from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.perfmodel.network import (
    great_circle_km,
    pairs_below_floor,
    rtt_from_coordinates_s,
)

WASHINGTON, LONDON = (38.89511, -77.03637), (51.50853, -0.12574)
PLACES = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=6)


def test_washington_to_london_is_5900_km() -> None:
    assert great_circle_km([WASHINGTON, LONDON])[0, 1] == pytest.approx(5_898, abs=15)


def test_antipodes_are_half_the_circumference_apart() -> None:
    km = great_circle_km([(0.0, 0.0), (0.0, 180.0), (90.0, 17.0), (-90.0, 0.0)])
    assert km[0, 1] == pytest.approx(np.pi * 6_371.0)
    assert km[2, 3] == pytest.approx(np.pi * 6_371.0)


@given(PLACES)
def test_the_internet_is_never_faster_than_fibre(places: list[tuple[float, float]]) -> None:
    km = great_circle_km(places)
    fibre, internet = (rtt_from_coordinates_s(places, m) for m in ("fibre", "internet"))
    assert np.array_equal(km, km.T)
    assert (internet >= fibre).all()
    assert not np.diag(internet).any()
    assert fibre == pytest.approx(km / 102.0 / 1e3)
    assert pairs_below_floor(internet, places) == []
    assert pairs_below_floor(fibre, places) == []
    assert len(pairs_below_floor(fibre * (1 - 1e-8), places)) == np.count_nonzero(np.triu(km))


def test_the_internet_takes_17_and_a_half_ms_for_a_thousand_km_and_5_7_ms_more() -> None:
    quarter_km = np.pi * 6_371.0 / 2
    rtt = rtt_from_coordinates_s([(0.0, 0.0), (0.0, 90.0), (0.0, 0.0)], "internet")
    assert rtt[0, 1] == pytest.approx(17.5e-6 * quarter_km + 5.7e-3)
    assert rtt[0, 2] == 5.7e-3


def test_unknown_places_stay_unknown() -> None:
    rtt = rtt_from_coordinates_s([WASHINGTON, (np.nan, np.nan), LONDON], "internet")
    assert np.isnan(rtt[1, [0, 2]]).all()
    assert rtt[1, 1] == 0.0
    assert np.isfinite(rtt[0, 2])


def test_round_trips_faster_than_light_are_named() -> None:
    rtt = np.array([[0.0, 0.0197], [0.076, 0.0]])
    ((i, j, got, floor),) = pairs_below_floor(rtt, [WASHINGTON, LONDON])
    assert (i, j, got) == (0, 1, 0.0197)
    assert floor == pytest.approx(0.0578, abs=2e-4)
    assert len(pairs_below_floor(rtt.T, [WASHINGTON, LONDON])) == 1
    assert len(pairs_below_floor(np.minimum(rtt, rtt.T), [WASHINGTON, LONDON])) == 1
