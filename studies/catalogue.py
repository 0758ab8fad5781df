"""What can be rented or asked for: offers with a price and a number."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from ..core.errors import InputProblem, ScenarioError
from ..scenarios import schema
from ..scenarios.defects import validate
from ..scenarios.files import parse_file
from ..scenarios.scenario import Scenario, scenario_of
from .document import Document, add_rows, drop_lost_uplinks, ids_of, servers_of, size_of

CATALOGUE_FORMAT = "swarmplan/catalogue/1"


class Offer(schema.Server, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that can be had ``available`` times; the other fields are those of a server."""

    available: schema.Count = 1
    price_per_hour: Annotated[float, Meta(ge=0, le=1e6)] = 0.0


class Catalogue(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file. Device types are the scenario's or the shipped ones."""

    format: Literal["swarmplan/catalogue/1"]
    currency: schema.Label = ""
    offers: Annotated[list[Offer], Meta(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A catalogue beside the scenario that it should extend.

    Attributes
    ----------
    base : plain data of the scenario; its own servers are there already and cost nothing.
    scratch : the scenario's own servers are left out.
    """

    scenario: Scenario
    base: Document
    offers: tuple[Offer, ...]
    currency: str
    scratch: bool

    def document(self, counts: tuple[int, ...]) -> Document:
        """Plain data of the scenario with so many of each offer."""
        own = [] if self.scratch else servers_of(self.base)
        bought = []
        for offer, count in zip(self.offers, counts, strict=True):
            if count:
                fields = {
                    k: v
                    for k, v in msgspec.to_builtins(offer).items()
                    if k not in ("available", "count") and v is not None
                    if k != "price_per_hour" or v  # 0 = not said
                }
                bought.append({**fields, "count": count})
        document = {**self.base, "servers": [*own, *bought]}
        network = self.base.get("network", {})
        if network.get("rtt_ms") is not None:
            document["network"] = {**network, "rtt_ms": self._times(network["rtt_ms"], bought)}
        if self.scratch:
            document.pop("events", None)
            drop_lost_uplinks(document)
        return document

    def _times(self, matrix: list[list[Any]], bought: list[Document]) -> list[list[Any]]:
        """The measured times of those who are there; offers have theirs from their places."""
        there = len(matrix)
        if self.scratch:
            there -= sum(map(size_of, servers_of(self.base)))
        times = [list(line[:there]) for line in matrix[:there]]
        add_rows(times, sum(map(size_of, bought)), None)
        return times

    def scenario_with(self, counts: tuple[int, ...]) -> Scenario:
        """The scenario with so many of each offer."""
        return scenario_of(self.document(counts), self.scenario.path)

    def price(self, counts: tuple[int, ...]) -> float:
        """Per hour."""
        return sum(o.price_per_hour * n for o, n in zip(self.offers, counts, strict=True))

    @property
    def own(self) -> int:
        """Servers that are there already."""
        return 0 if self.scratch else self.scenario.problem.num_servers


def load_market(scenario: Scenario, path: Path, *, scratch: bool) -> Market:
    """Read a catalogue for a scenario.

    Raises
    ------
    ScenarioError
        For defects of the catalogue, and for offers that do not fit the scenario.
    """
    catalogue = validate(parse_file(path), Catalogue, catalogue_schema, source=str(path))
    base = parse_file(scenario.path)
    known = {i for e in servers_of(base) for i in ids_of(e)} if not scratch else set()
    wrong = []
    for i, offer in enumerate(catalogue.offers):
        if offer.count != 1 or offer.span is not None:
            wrong.append(InputProblem(f"offers[{i}]", "an offer has available, not count or span"))
        if offer.id in known or offer.id in {o.id for o in catalogue.offers[:i]}:
            wrong.append(InputProblem(f"offers[{i}].id", f"{offer.id!r} is taken"))
    if wrong:
        raise ScenarioError(wrong, source=str(path))
    market = Market(
        scenario=scenario,
        base=base,
        offers=tuple(catalogue.offers),
        currency=catalogue.currency,
        scratch=scratch,
    )
    try:
        market.scenario_with(tuple(o.available for o in market.offers))
    except ScenarioError as error:
        first = 0 if scratch else len(servers_of(base))
        raise ScenarioError(_of_offers(error, first), source=str(path)) from error
    return market


def _of_offers(error: ScenarioError, first: int) -> list[InputProblem]:
    """Defects of the servers that offers became, as defects of the offers."""
    found = []
    for problem in error.problems:
        server = re.match(r"servers\[(\d+)\]", problem.path)
        where = problem.path
        if server and int(server[1]) >= first:
            where = f"offers[{int(server[1]) - first}]" + where[server.end() :]
        found.append(InputProblem(where, problem.message))
    return found


def catalogue_schema() -> dict[str, Any]:
    """JSON Schema of catalogues."""
    return msgspec.json.schema(Catalogue)
