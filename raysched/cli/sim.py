"""``raysched sim``: the scheduler under load and faults, in virtual time, before it is trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.options import Spoken
from raysched.cli.voice import Voice
from raysched.errors import InternalError

if TYPE_CHECKING:
    from raysched.simulation import Outcome

SHARES = (0.5, 0.9, 0.99, 1.0)
LISTS = {"waits_s", "lane_s"}
"""What is as long as there are jobs or users: drawn, not told."""


@dataclass(frozen=True, kw_only=True)
class SimOptions(Spoken):
    """The options of ``sim``."""

    seed: Annotated[int, typer.Option(help="The same seed is the same simulation.")] = 0
    jobs: Annotated[int, typer.Option(min=1, max=1_000_000)] = 1000
    users: Annotated[int, typer.Option(min=1, max=1000)] = 10
    lanes: Annotated[int, typer.Option(min=1, max=4096)] = 8
    running: Annotated[
        int, typer.Option(min=1, max=4096, help="How many jobs may have work in flight at once.")
    ] = 4
    faults: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of the runs that fail or are lost.")
    ] = 0.05
    crashes: Annotated[
        int, typer.Option(min=0, max=1000, help="How often the scheduler dies on the way.")
    ] = 1
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="New picture of what came of it (extra: plots)."),
    ] = None


def sim(options: SimOptions, voice: Voice) -> None:
    """Simulate many users, faults and crashes with the real core and the real journal."""
    from raysched.simulation import Scenario, Simulation

    scenario = Scenario(
        seed=options.seed,
        jobs=options.jobs,
        users=options.users,
        lanes=options.lanes,
        running=options.running,
        faults=options.faults,
        crashes=options.crashes,
    )
    if options.plot is not None:
        from raysched.cli.plots import check_plot  # before the work: it may take minutes

        check_plot(options.plot)
    with TemporaryDirectory(prefix="raysched-sim-") as folder:
        outcome = Simulation(scenario, Path(folder)).run()
    _say(outcome, voice)
    if options.plot is not None:
        from raysched.cli.plots import save_plot

        save_plot(outcome, scenario, options.plot)
        voice.emit(plot={"path": str(options.plot.absolute())})
        voice.say(f"plot        {options.plot}")
    if outcome.violations:
        raise InternalError(
            f"The simulation broke a promise: {outcome.violations[0]}.",
            remedy=f"Report this with its options; seed {options.seed} repeats it.",
            seed=options.seed,
        )


def _say(outcome: Outcome, voice: Voice) -> None:
    facts = {name: value for name, value in asdict(outcome).items() if name not in LISTS}
    waits = {f"p{share:.0%}".rstrip("%"): round(outcome.wait_s(share), 3) for share in SHARES}
    voice.emit(simulation={**facts, "wait_s": waits})
    ended = ", ".join(f"{number:,} {state}" for state, number in sorted(outcome.ended.items()))
    waited = ", ".join(f"{share:.0%} within {outcome.wait_s(share):,.0f} s" for share in SHARES)
    per_s = outcome.events / outcome.wall_s if outcome.wall_s else 0.0
    voice.say(f"jobs        {outcome.jobs:,}: {ended}")
    voice.say(f"events      {outcome.events:,}; {per_s:,.0f} per second with journal and checks")
    voice.say(f"replays     {outcome.replays:,}, one after each crash and one at the end")
    voice.say(f"waiting     {waited} of virtual time")
    voice.say(f"lanes       had work {outcome.lane_use:.1%} of the time")
    if outcome.share_error is None:
        voice.say("fairness    not measured: too few jobs for all users to have had some")
    else:
        within = f"within {outcome.share_error:.1%} of their mean"
        voice.say(f"fairness    lane seconds of users are {within}")
    voice.say(f"violations  {len(outcome.violations) or 'none'}")
