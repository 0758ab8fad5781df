"""A scenario from a few words: which model, which servers where, who asks how much."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..core.errors import ScenarioError
from ..core.names import Quantisation
from ..perfmodel.catalogue import model_spec
from ..perfmodel.devices import Device, devices_named
from .generate import OVERHEADS
from .known import known
from .places import City, city, folded
from .schema import SCENARIO_FORMAT

#: What activations, the CUDA context and PETALS' own reserve leave of a card's nominal memory.
USABLE = 0.9
#: Beside a city's own name, a count and a GPU: ``2 x RTX3090 in Berlin``.
_SERVERS = re.compile(r"\s*(?:(\d+)\s*x?\s+)?(.+?)\s+(?:in|at|@)\s+(.+?)\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What ``swarmplan init`` asks.

    Attributes
    ----------
    servers : such as ``2 RTX3090 in Berlin; A100-80GB in Austin, TX``.
    clients : cities, ``;`` between them.
    per_minute : requests of all clients together.
    prompt_tokens, output_tokens : of a request.
    """

    name: str
    model: str
    quantisation: Quantisation
    servers: str
    clients: str
    per_minute: float
    prompt_tokens: int
    output_tokens: int


def scenario_document(answers: Answers) -> dict[str, Any]:
    """The scenario file that the answers make.

    Places are written as coordinates, so that the file is read without the gazetteer.

    Raises
    ------
    ScenarioError
        For a model, GPU or city that is not known; the message lists near matches.
    MissingExtraError
        Where the gazetteer is not installed.
    """
    model = known(lambda: model_spec(answers.model, answers.quantisation), "model")
    devices: dict[str, dict[str, Any]] = {}
    servers: list[dict[str, Any]] = []
    for text in _parts(answers.servers):
        count, gpu, where = _server(text)
        card = known(partial(_card, gpu), "servers")
        label = _slug(card.gpu or gpu)
        gigabytes = round(USABLE * card.memory_bytes / 1e9, 1)
        devices.setdefault(label, {"profile": card.gpu or gpu, "memory_gb": gigabytes})
        place = _place("servers", where)
        entry = {"id": _id(f"{place.name} {label}", servers), "device": label, **_at(place)}
        servers.append(entry | ({"count": count} if count > 1 else {}))
    clients: list[dict[str, Any]] = []
    for text in _parts(answers.clients):
        place = _place("clients", text)
        clients.append({"id": _id(place.name, clients), **_at(place)})
    rate = answers.per_minute / 60.0 / max(len(clients), 1)
    streams = [
        {
            "client": c["id"],
            "rate_per_s": round(rate, 6),
            "prompt_tokens": answers.prompt_tokens,
            "output_tokens": answers.output_tokens,
        }
        for c in clients
    ]
    return {
        "format": SCENARIO_FORMAT,
        "name": answers.name,
        "model": {"name": model.name, "quantisation": answers.quantisation},
        "devices": devices,
        "network": {"delay": "internet", **OVERHEADS},
        "workload": {"requests": 400, "streams": streams},
        "clients": clients,
        "servers": servers,
    }


def tokens_of(text: str) -> tuple[int, int]:
    """Prompt and answer of ``200/150``.

    Raises
    ------
    ScenarioError
        If it is not two positive whole numbers.
    """
    found = re.fullmatch(r"\s*(\d{1,7})\s*[/, ]\s*(\d{1,7})\s*", text)
    if found is None or not int(found[1]) or not int(found[2]):
        raise ScenarioError.single("tokens", f"{text!r} is not PROMPT/ANSWER, such as 200/150")
    return int(found[1]), int(found[2])


def _card(gpu: str) -> Device:
    return devices_named(gpu)[0]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[;\n]", text) if part.strip()]


def _server(text: str) -> tuple[int, str, str]:
    """Count, GPU and city."""
    found = _SERVERS.fullmatch(text)
    if found is None:
        message = f"{text!r} is not COUNT GPU in CITY, such as '2 RTX3090 in Berlin'"
        raise ScenarioError.single("servers", message)
    return int(found[1] or 1), found[2], found[3]


def _place(field: str, text: str) -> City:
    return known(lambda: city(text), field)


def _at(place: City) -> dict[str, Any]:
    return {"lat": place.lat, "lon": place.lon, "region": f"{place.name}, {place.country}"}


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", folded(text)).strip("-")


def _id(text: str, others: list[dict[str, Any]]) -> str:
    """A short name, numbered where another one has it."""
    short = _slug(text) or "place"
    taken = [o["id"] for o in others]
    number = 1 + sum(1 for other in taken if other == short or other.startswith(f"{short}-n"))
    return short if number == 1 else f"{short}-n{number}"
