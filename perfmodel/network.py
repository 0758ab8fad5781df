"""Round-trip times from places on the map, and the floor that light in fibre sets.

Constants from a fit to public ping tables between cities (docs/perfmodel.md): light in fibre runs
204 km per ms, so a round trip takes at least ``km / 102`` ms; the public Internet takes about
``0.0175 km + 5.7`` ms.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from ..core.content import FloatArray

EARTH_RADIUS_KM = 6_371.0
FIBRE_KM_PER_S = 204_000.0
INTERNET_S_PER_KM = 0.0175e-3
INTERNET_BASE_S = 5.7e-3

DistanceMode = Literal["fibre", "internet"]


def great_circle_km(lat_lon: ArrayLike) -> FloatArray:
    """Distances between places along the surface (haversine formula).

    Parameters
    ----------
    lat_lon : (n, 2) latitude and longitude in degrees; nan = unknown place.

    Returns
    -------
    (n, n) kilometres, symmetric with a zero diagonal; nan in the rows of unknown places.
    """
    places = np.asarray(lat_lon, dtype=np.float64).reshape(-1, 2)
    km = apart_km(places[:, None], places[None, :])
    np.fill_diagonal(km, 0.0)
    return km


def apart_km(one: FloatArray, other: FloatArray) -> FloatArray:
    """(...,) kilometres between pairs of places, (..., 2) degrees each; they are broadcast."""
    (lat, lon), (to_lat, to_lon) = (np.moveaxis(np.radians(p), -1, 0) for p in (one, other))
    half_lat = np.sin((lat - to_lat) / 2.0) ** 2
    half_lon = np.sin((lon - to_lon) / 2.0) ** 2
    chord = half_lat + np.cos(lat) * np.cos(to_lat) * half_lon
    km: FloatArray = 2.0 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(chord, 0.0, 1.0)))
    return km


def fibre_floor_s(km: ArrayLike) -> FloatArray:
    """Round trip of light in a straight fibre, seconds: no packet is faster."""
    floor: FloatArray = 2.0 * np.asarray(km, dtype=np.float64) / FIBRE_KM_PER_S
    return floor


def rtt_from_coordinates_s(lat_lon: ArrayLike, mode: DistanceMode) -> FloatArray:
    """Estimated round-trip times between places.

    Parameters
    ----------
    lat_lon : (n, 2) latitude and longitude in degrees; nan = unknown place.
    mode : ``fibre`` = the physical lower bound, ``internet`` = a typical path.

    Returns
    -------
    (n, n) seconds, zero diagonal, nan between different places of which one is unknown.

    Notes
    -----
    Two different entries at the same place get the constant of the ``internet`` line, not zero.
    """
    rtt = rtt_over_s(great_circle_km(lat_lon), mode)
    np.fill_diagonal(rtt, 0.0)
    return rtt


def rtt_over_s(km: FloatArray, mode: DistanceMode) -> FloatArray:
    """Estimated round-trip times of two machines so far apart, seconds."""
    floor = fibre_floor_s(km)
    if mode == "fibre":
        return floor
    rtt: FloatArray = np.maximum(INTERNET_S_PER_KM * km + INTERNET_BASE_S, floor)
    return rtt


def pairs_below_floor(rtt_s: ArrayLike, lat_lon: ArrayLike) -> list[tuple[int, int, float, float]]:
    """Pairs whose round-trip time is faster than light in fibre: a typing error or a wrong place.

    Parameters
    ----------
    rtt_s : (n, n) seconds; nan entries are skipped.
    lat_lon : (n, 2) degrees; unknown places are skipped.

    Returns
    -------
    (i, j, rtt_s, floor_s) by row and column; a pair that is equal in both directions comes once,
    with i < j.
    """
    rtt = np.asarray(rtt_s, dtype=np.float64)
    floor = fibre_floor_s(great_circle_km(lat_lon))
    below = rtt < floor * (1.0 - 1e-9)  # nan compares false
    np.fill_diagonal(below, False)
    return [
        (int(i), int(j), float(rtt[i, j]), float(floor[i, j]))
        for i, j in np.argwhere(below)
        if i < j or rtt[i, j] != rtt[j, i]
    ]
