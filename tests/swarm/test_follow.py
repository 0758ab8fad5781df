"""What a server does about a plan: nothing on the word of strangers, and no waiting for ever."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmplan.perfmodel.cost import CostModel
from swarmplan.swarm.announce import Announcement, State
from swarmplan.swarm.follow import Follower, Span, Verdict, otherwise
from swarmplan.swarm.order import moves_between, reloads_after
from swarmplan.swarm.record import Hosting, LivePlan, Step, planned_hosting, read_record
from swarmplan.swarm.statement import Statement
from swarmplan.tests.swarm.looks import peer
from swarmplan.tests.swarm.test_record import NOW, SCENARIO, packed

SWAP = {"fast-0": (6, 12), "fast-1": (0, 6)}


def live_plan(spans: dict[str, tuple[int, int]], moves: list[str], version: int = 1) -> LivePlan:
    base = read_record(packed(version), prefix="p", now_s=NOW)
    return replace(base, spans=spans, moves=tuple(Step(peer=p) for p in moves))


def announced(peer: str, start: int, end: int, state: State = "online") -> Announcement:
    return Announcement(peer=peer, state=state, start=start, end=end)


def decided(
    follower: Follower,
    plan: LivePlan,
    serving: Span,
    live: Collection[Announcement],
    now_s: float = NOW,
    *,
    truth: dict[str, Span] | None = None,
    as_planned: bool = True,
    unlike: Collection[str] = (),
) -> Verdict:
    """A decision by what is announced, and by what others answer: ``truth``, else the same."""
    true = {e.peer: (e.start, e.end) for e in live if e.state == "online"}
    there = {e.peer for e in live if e.state != "offline"}
    if truth is not None:
        true, there = truth, set(truth)
    confirmed = [
        (peer, start, end)
        for peer, start, end in follower.claims(plan, serving, list(live), as_planned=as_planned)
        if (peer in there if start == end else true.get(peer) == (start, end))
    ]
    return follower.decide(plan, serving, confirmed, now_s, as_planned=as_planned, unlike=unlike)


def test_a_server_waits_for_those_ahead_and_for_its_blocks_to_be_served_elsewhere() -> None:
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    follower = Follower(peer="fast-0")
    one, other = announced("fast-0", 0, 6), announced("fast-1", 6, 12)
    waits = decided(follower, chosen, (0, 6), [one, other])
    assert (waits.action, waits.reason) == ("wait", "fast-1 moves first")
    first = decided(Follower(peer="fast-1"), chosen, (6, 12), [one, other])
    assert first.action == "wait"
    assert "nobody else serves blocks [6" in first.reason
    spare = announced("slow-0", 6, 12)
    assert decided(Follower(peer="fast-1"), chosen, (6, 12), [one, other, spare]).action == "move"
    loading = announced("fast-1", 0, 6, "joining")
    assert decided(follower, chosen, (0, 6), [one, loading, spare]).action == "wait"
    arrived = announced("fast-1", 0, 6)
    assert decided(follower, chosen, (0, 6), [one, arrived]).action == "move"


def test_a_lost_server_ahead_is_waited_for_only_so_long() -> None:
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    follower = Follower(peer="fast-0", patience_s=60)
    others = [announced("slow-0", 0, 6)]
    for later_s, action in ((0, "wait"), (59, "wait"), (61, "move")):
        assert decided(follower, chosen, (0, 6), others, NOW + later_s).action == action


def test_one_that_comes_and_goes_starts_no_new_wait() -> None:
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    follower = Follower(peer="fast-0", patience_s=60)
    spare, flapping = announced("slow-0", 0, 6), announced("fast-1", 6, 12)
    actions = []
    for second in range(0, 100, 10):
        live = [spare, flapping] if second % 20 else [spare]
        actions.append(decided(follower, chosen, (0, 6), live, NOW + second).action)
    assert actions[:6] == ["wait"] * 6
    assert "move" in actions[6:]


def test_one_that_answers_and_never_moves_is_waited_for_only_so_long() -> None:
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    follower = Follower(peer="fast-0", patience_s=60, moving_patience_s=600)
    others = [announced("slow-0", 0, 6), announced("fast-1", 6, 12)]
    for later_s, action in ((0, "wait"), (599, "wait"), (601, "move")):
        assert decided(follower, chosen, (0, 6), others, NOW + later_s).action == action
    again = live_plan(SWAP, ["fast-1", "fast-0"], version=2)
    assert decided(follower, again, (0, 6), others, NOW + 602).action == "wait"


def test_a_false_arrival_moves_nobody() -> None:
    """A stranger announces that fast-1 has arrived; it answers for its old blocks only."""
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    lie = [announced("fast-1", 0, 6), announced("fast-0", 0, 6)]
    for truth in ({"fast-1": (6, 12)}, {}):
        follower = Follower(peer="fast-0", patience_s=60, moving_patience_s=600)
        for later_s in (0, 61, 601, 10_000):
            verdict = decided(follower, chosen, (0, 6), lie, NOW + later_s, truth=truth)
            assert verdict.action != "move"
    assert verdict.action == "stay"
    assert "the plan cannot be followed" in verdict.reason


def test_an_arrival_counts_only_once_clients_can_see_it() -> None:
    """It serves already; until the table says so (or while a stranger's entry lies over its own)
    clients would find nobody for the blocks that are left."""
    chosen = live_plan(SWAP, ["fast-1", "fast-0"])
    truth = {"fast-1": (0, 6)}
    for entry in (announced("fast-1", 0, 6, "joining"), announced("fast-1", 6, 12)):
        follower = Follower(peer="fast-0", moving_patience_s=600)
        for later_s in (0, 61, 601):
            verdict = decided(follower, chosen, (0, 6), [entry], NOW + later_s, truth=truth)
            assert verdict.action != "move"
    seen = [announced("fast-1", 0, 6)]
    assert decided(Follower(peer="fast-0"), chosen, (0, 6), seen, truth=truth).action == "move"


def test_holders_that_do_not_answer_hold_nothing() -> None:
    chosen = live_plan({"fast-0": (6, 12)}, [])
    ghosts = [announced(f"ghost-{i}", 0, 12) for i in range(20)]
    follower = Follower(peer="fast-0")
    assert decided(follower, chosen, (0, 6), ghosts, truth={}).action == "wait"
    assert decided(follower, chosen, (0, 6), ghosts).action == "move"


def test_one_that_is_leaving_holds_nothing_though_it_still_serves() -> None:
    """C drains its sessions on 2:8 before it moves to 4:8; B may not leave 4:8 on its account,
    also when it was waited for long enough."""
    chosen = live_plan({"slow-0": (4, 8), "fast-1": (0, 4)}, ["slow-0", "fast-1"])
    draining = [announced("slow-0", 2, 8), announced("fast-0", 0, 4)]
    follower = Follower(peer="fast-1")
    for later_s in (0, 61, 901, 10_000):
        assert decided(follower, chosen, (4, 8), draining, NOW + later_s).action != "move"
    arrived = [announced("slow-0", 4, 8), announced("fast-0", 0, 4)]
    assert decided(follower, chosen, (4, 8), arrived, NOW).action == "move"


def test_nobody_is_asked_when_nothing_is_to_be_done() -> None:
    live = [announced("fast-1", 6, 12)]
    follower = Follower(peer="fast-0")
    assert follower.claims(None, (0, 6), live) == ()
    assert follower.claims(live_plan({"fast-0": (0, 6)}, []), (0, 6), live) == ()
    assert follower.claims(live_plan(SWAP, []), None, live) == ()


def test_blocks_are_loaded_anew_in_turn_and_only_while_somebody_else_serves_them() -> None:
    """Both hold everything and are to host it at another precision."""
    chosen = live_plan({"fast-0": (0, 12), "fast-1": (0, 12)}, ["fast-1", "fast-0"])
    both = [announced("fast-0", 0, 12), announced("fast-1", 0, 12)]

    def action(peer: str, live: list[Announcement], unlike: Collection[str] = ()) -> str:
        return decided(
            Follower(peer=peer), chosen, (0, 12), live, as_planned=False, unlike=unlike
        ).action

    assert action("fast-1", both, ["fast-0"]) == "move"
    assert action("fast-1", both[1:]) == "wait"
    # The first has its span all the time; it holds it again once it says that it hosts it so.
    assert action("fast-0", both, ["fast-1"]) == "wait"
    assert action("fast-0", both[:1]) == "wait"
    assert action("fast-0", both) == "move"


def test_a_peers_own_word_tells_whether_it_hosts_as_planned() -> None:
    """Also one that cannot, once it has found out: nobody waits for what will not come."""
    names = [peer(k) for k in range(4)]
    hosting = Hosting(precision=dict.fromkeys(names, "int8"))
    chosen = replace(live_plan({}, [], version=7), hosting=hosting)

    def told(name: str, quant_type: str, version: int, *, as_planned: bool) -> Statement:
        announced = {"state": "online", "start_block": 0, "end_block": 12}
        return Statement(
            format="", prefix="p", peer=name, issued_s=NOW, expires_s=NOW,
            announced={**announced, "throughput": 1.0, "quant_type": quant_type},
            plan_version=version, as_planned=as_planned,
        )  # fmt: skip

    is_so, waits, behind, cannot = names
    said = {
        is_so: told(is_so, "int8", 6, as_planned=True),
        waits: told(waits, "none", 7, as_planned=False),
        behind: told(behind, "none", 6, as_planned=True),
        cannot: told(cannot, "none", 7, as_planned=True),
    }
    assert otherwise(chosen, said) == {waits, behind}


def test_one_that_hosts_otherwise_and_has_no_turn_stays_as_it_is() -> None:
    chosen = live_plan({"fast-0": (0, 12), "fast-1": (0, 12)}, [])
    live = [announced("fast-1", 0, 12)]
    verdict = decided(Follower(peer="fast-0"), chosen, (0, 12), live, as_planned=False)
    assert (verdict.action, verdict.span) == ("stay", None)
    assert "no turn" in verdict.reason


def test_a_sole_holder_loads_anew_where_the_plan_says_that_it_cannot_be_helped() -> None:
    chosen = live_plan({"fast-0": (0, 6), "fast-1": (4, 12)}, ["fast-0"])
    live = [announced("fast-1", 4, 12)]
    dark = replace(chosen, moves=(Step(peer="fast-0", dark=[0, 1, 2, 3]),))
    for plan, action in ((chosen, "wait"), (dark, "move")):
        verdict = decided(Follower(peer="fast-0"), plan, (0, 6), live, as_planned=False)
        assert verdict.action == action


def test_those_who_host_otherwise_than_planned_are_told_to_load_anew_after_all_moves() -> None:
    problem = SCENARIO.problem
    names = [s.id for s in problem.servers]
    document = SCENARIO.document
    placement = CostModel.of(problem).placed([(0, 6), (0, 12), (6, 12), (0, 4)])
    assert list(planned_hosting(document, problem, placement).precision) == names
    at = msgspec.structs.replace(
        document,
        servers=[msgspec.structs.replace(s, quantisation="int8") for s in document.servers],
    )
    live = [
        replace(announced(names[0], 0, 6), quant_type="none"),
        replace(announced(names[1], 0, 12), quant_type="int8"),
        replace(announced(names[2], 4, 12), quant_type="none"),  # moves, and takes it along
        announced(names[3], 0, 4),  # does not say
    ]
    steps = reloads_after(at, problem, placement, live)
    assert [(s.peer, s.dark) for s in steps] == [(names[0], [])]
    alone = reloads_after(at, problem, placement, live[:1])
    assert [(s.peer, s.dark) for s in alone] == [(names[0], [0, 1, 2, 3, 4, 5])]


@pytest.mark.parametrize(
    ("precision", "adapters", "quant_type", "loaded", "so"),
    [
        ("int8", {}, "int8", (), True),
        ("int8", {}, "none", (), False),
        ("bf16", {}, "nf4", (), False),
        (None, {}, "nf4", ("x",), True),
        ("nf4", {}, None, (), True),
        (None, {"p": ("x", "y")}, "none", ("y", "x"), True),
        (None, {"p": ("x",)}, "none", (), False),
        (None, {"q": ("x",)}, "none", ("x",), False),
    ],
)
def test_what_a_plan_leaves_open_and_what_nobody_announces_is_as_planned(
    precision: str | None,
    adapters: dict[str, tuple[str, ...]],
    quant_type: str | None,
    loaded: tuple[str, ...],
    so: bool,
) -> None:
    hosting = Hosting(precision={"p": precision}, adapters=adapters)
    assert hosting.is_so("p", quant_type, loaded) is so


def test_without_a_plan_petals_decides_and_strangers_stay() -> None:
    assert Follower(peer="x").decide(None, (0, 4), (), NOW).action == "petals"
    chosen = live_plan({"fast-0": (0, 12)}, [])
    assert Follower(peer="x").decide(chosen, (0, 4), (), NOW).action == "stay"
    assert Follower(peer="fast-0").decide(chosen, None, (), NOW).span == (0, 12)


spans_of_twelve = st.tuples(st.integers(0, 11), st.integers(1, 12)).filter(lambda s: s[0] < s[1])


@given(
    st.lists(spans_of_twelve, min_size=4, max_size=4),
    st.lists(spans_of_twelve, min_size=4, max_size=4),
)
def test_followers_never_darken_a_block_that_the_order_keeps(
    before: list[tuple[int, int]], after: list[tuple[int, int]]
) -> None:
    """All servers follow at once, in any interleaving that announcements allow."""
    problem = SCENARIO.problem
    names = [s.id for s in problem.servers]
    covered = set(range(12))
    live = dict(zip(names, before, strict=True))
    wanted = dict(zip(names, after, strict=True))
    steps = moves_between(problem, live, CostModel.of(problem).placed(after))
    allowed = {b for step in steps for b in step.dark}
    chosen = replace(live_plan(wanted, []), moves=steps)
    for _ in range(2 * len(names)):
        entries = [announced(n, *live[n]) for n in names]
        acting = [
            n for n in names if decided(Follower(peer=n), chosen, live[n], entries).action == "move"
        ]
        assert len(acting) <= 1
        for name in acting:
            online = {b for n in names if n != name for b in range(*live[n])}
            assert covered - online <= allowed
            live[name] = wanted[name]
    assert live == wanted


@given(
    st.dictionaries(st.sampled_from(["fast-1", "slow-0", "slow-1"]), spans_of_twelve),
    st.lists(
        st.tuples(
            st.sampled_from(["fast-1", "slow-0", "slow-1", "nobody"]),
            spans_of_twelve,
            st.sampled_from(["offline", "joining", "online"]),
        ),
        max_size=12,
    ),
    st.floats(0, 1e6),
)
def test_whatever_is_announced_a_server_leaves_only_what_others_truly_serve(
    truth: dict[str, Span], lies: list[tuple[str, Span, State]], later_s: float
) -> None:
    chosen = live_plan({"fast-0": (6, 12), **dict.fromkeys(truth, (0, 12))}, list(truth))
    follower = Follower(peer="fast-0")
    live = [announced(peer, *span, state) for peer, span, state in lies]
    for moment in (NOW, NOW + later_s):
        verdict = decided(follower, chosen, (0, 6), live, moment, truth=truth)
        if verdict.action == "move":
            held = {b for span in truth.values() for b in range(*span)}
            assert set(range(6)) <= held
