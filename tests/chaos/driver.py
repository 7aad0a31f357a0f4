"""Submits a job to a cluster and says how it goes, a line of JSON for each change.

``python driver.py ADDRESS STATE SLIDE OUT LANES [TILE_PX]``; asked again with the same it
goes on with the same job. The lanes are there until it is killed, also after the job's end.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Never

from raysched.config import load_config, set_ray_environment

set_ray_environment()

from raysched.cluster.session import connect  # noqa: E402 - Ray reads its environment once
from raysched.cluster.submission import JobRequest, Submission, prepare  # noqa: E402
from raysched.core.model import UserId  # noqa: E402
from raysched.errors import RayschedError  # noqa: E402

USER = UserId("ann")


def main() -> None:
    """Until it is killed."""
    address, state, slide, out, lanes, *tile = sys.argv[1:]
    config = load_config(
        state=Path(state),
        cluster={"address": address, "lanes": int(lanes), "start_timeout_s": 120.0},
        reuse={"most_gb_per_user": 0.0},
    )
    request = JobRequest(slide=slide, out=out, tile_px=int(tile[0]) if tile else 64, chunk_tiles=1)
    prepared = prepare(Submission(jobs=(request,)), user=USER, key=out, config=config)
    with connect(config) as session:
        say(what="connected")

        async def follow() -> Never:
            view = (await session.gateway.submit(prepared)).jobs[0]
            last: dict[str, object] = {}
            while True:
                try:
                    health = await session.gateway.health()
                    view = await session.gateway.job(USER, view.job)
                except RayschedError as error:
                    say(what="error", error=error.message)
                    await asyncio.sleep(0.2)
                    continue
                now = {
                    "what": str(view.state),
                    "job": view.job,
                    "attempt": view.attempt,
                    "chunks": view.chunks_done,
                    "total": view.chunks_total,
                    "checksum": view.checksum,
                    "lanes": health.lanes,
                    "epoch": health.epoch,
                }
                if now != last:
                    say(**now)
                    last = now
                if view.state.is_final:
                    await asyncio.Event().wait()
                await asyncio.sleep(0.05)

        asyncio.run(follow())


def say(**facts: object) -> None:
    """One line."""
    print(json.dumps({"at": time.time(), **facts}), flush=True)


main()
