"""What passes of a client over a chain take and make, by the number of drafts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..core.content import FloatArray, IntArray, frozen_array
from ..core.drafting import MOST_DRAFTS, NO_USE, DraftModel
from ..core.names import Semantics
from ..core.plan import Route
from ..core.problem import Problem
from .cost import CostModel
from .passes import verify_table
from .speculation import law, passes_needed, positions, survival
from .timing import extra_s

#: Tokens of an answer from which the last pass makes no difference that counts.
LONG_TOKENS = 512
#: Of a server's utilisation more is not looked at: beyond it lines grow without end.
FULL = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCurve:
    """Passes of one client over a chain of H hops, with 0 .. K drafts of one model.

    Attributes
    ----------
    server, blocks : (H,) rows, and blocks that are run there.
    serial, batched : (H,) whether tasks stand in line there; whether waiting passes are one step.
    positions : (K + 1,) of a pass.
    tokens : (K + 1,) of the answer for each of its passes; less than E(k), since the last pass
        makes more than is asked for.
    idle_s : (K + 1,) of a pass what is no work, neither of a server nor of the client.
    draft_s, ahead : (K + 1,) the client's own drafts, and how often they are made while the last
        pass is looked at.
    work_s, tasks : (K + 1, H) work of a pass at each hop, and in how many tasks.
    """

    server: IntArray
    blocks: IntArray
    serial: FloatArray
    batched: FloatArray
    positions: IntArray
    tokens: FloatArray
    idle_s: FloatArray
    draft_s: FloatArray
    ahead: FloatArray
    work_s: FloatArray
    tasks: FloatArray

    def verify_s(self, more: FloatArray, waits_s: FloatArray) -> FloatArray:
        """(K + 1,) seconds of a pass without the client's drafts; see ``token_s``."""
        seconds: FloatArray = self.idle_s + (self.work_s * more + self.tasks * waits_s).sum(axis=-1)
        return seconds

    def token_s(self, more: FloatArray, waits_s: FloatArray) -> FloatArray:
        """(K + 1,) seconds per token.

        Parameters
        ----------
        more : (K + 1, H) or (H,) times its work that a hop takes; waits_s : what a task waits.
        """
        verify_s = self.verify_s(more, waits_s)
        late_s = self.ahead * np.maximum(0.0, self.draft_s - verify_s)
        pass_s: FloatArray = verify_s + (1.0 - self.ahead) * self.draft_s + late_s
        return pass_s / self.tokens


@lru_cache(maxsize=64)
def tokens_of_passes(
    acceptance: tuple[float, ...], semantics: Semantics, steps: int
) -> tuple[float, ...]:
    """(K + 1,) tokens for each pass of an answer of so many, by the number of drafts."""
    alive = survival(acceptance)
    return tuple(
        steps / float(passes_needed(law(alive, k, semantics), steps)[-1])
        for k in range(MOST_DRAFTS + 1)
    )


class PassCurves:
    """The curves of a problem's clients; costs are those of a swarm where nobody drafts."""

    def __init__(self, problem: Problem) -> None:
        self.cost = CostModel.of(problem.with_drafts((NO_USE,) * len(problem.drafting)))
        self._batched = np.array([s.sharing == "batched" for s in problem.servers])
        self._verify = verify_table(problem.servers, self.cost.step_curves, MOST_DRAFTS + 1)

    def rows_s(self, server: int, rows: float) -> float:
        """What a step of so many rows takes a block of a server beyond a step of one."""
        at = self.cost.step_curves
        knots = at.rows[server], at.more_s[server], int(at.knots[server])
        return extra_s(*knots, float(at.beyond_s[server]), rows)

    def curve(
        self,
        client: int,
        route: Route,
        model: DraftModel,
        semantics: Semantics = "standard",
        *,
        ahead: bool = False,
    ) -> PassCurve:
        """A client's curve on a chain, with one of its draft models; see ``Drafting``."""
        cost, paid = self.cost, self.cost.planned(client)
        server = np.array(route.servers, dtype=np.int64)
        blocks = np.array([len(h) for h in route.hops])
        run_s = np.array([paid.pass_run_s(h.server, h.start, h.end) for h in route.hops])
        drafts = np.arange(MOST_DRAFTS + 1)
        many = np.array([positions(int(k), semantics) for k in drafts])
        cut = many[:, None] > cost.pass_tokens[server]
        times, more_s = self._verify[:, server][:, :, many].transpose(0, 2, 1)
        tasks = np.where(cut, blocks, 1)
        alone_s = cost.step_s(route, paid) - float(run_s.sum()) - float(cost.task_s[server].sum())
        turns_s = np.where(cut, blocks * cost.turn_s[server], 0.0).sum(axis=1)
        way_s = (many - 1) * float(cost.position_s[client, server].sum())
        alive = survival(model.acceptance, MOST_DRAFTS + 1)
        guessed = alive[1:] * (drafts > 0) if ahead else np.zeros(len(drafts))
        steps = max(1, min(cost.problem.planning.output_tokens - 1, LONG_TOKENS))
        tokens = tokens_of_passes(model.acceptance, semantics, steps)
        return PassCurve(
            server=server,
            blocks=frozen_array(blocks, np.int64),
            serial=frozen_array(cost.serial[server], np.float64),
            batched=frozen_array(self._batched[server], np.float64),
            positions=frozen_array(many, np.int64),
            tokens=frozen_array(tokens, np.float64),
            idle_s=frozen_array(alone_s + turns_s + way_s, np.float64),
            draft_s=frozen_array(drafts * model.draft_s, np.float64),
            ahead=frozen_array(guessed, np.float64),
            work_s=frozen_array(
                run_s * times + blocks * more_s + tasks * cost.task_s[server], np.float64
            ),
            tasks=frozen_array(tasks, np.float64),
        )
