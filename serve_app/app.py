"""What Ray Serve deploys: ``serve run serve_app.app:app``, configs/serve.yaml, ``raysched up``."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from raysched.cluster.gateway import Gateway
from raysched.cluster.processes import end_with_raylet
from raysched.cluster.session import connect
from raysched.cluster.stores import object_store
from raysched.config import Config, load_config
from raysched.logs import write_logs
from serve_app.slides.checking import send_ahead_to
from serve_app.web import ALL_REQUESTS, create_app

APP_NAME = "raysched"
PATIENCE_S = 5.0
"""How long a request waits for a scheduler that is being restarted before it is told 503."""
MOST_WAITING = 200
"""Requests that a proxy keeps for replicas that have all they take; the next is told 503."""
LOOK_S = 1.0
"""How soon a replica that was killed is missed, and another started; Serve's own choice is 10 s.
The proxies' is ``RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S`` (``raysched.config``)."""


@serve.deployment(
    ray_actor_options={"num_cpus": 0},
    max_ongoing_requests=ALL_REQUESTS,
    max_queued_requests=MOST_WAITING,
    backpressure_config=BackpressureConfig(retry_after_s=1.0),
    health_check_period_s=LOOK_S,
    graceful_shutdown_timeout_s=2.0,
    logging_config={"enable_access_log": False},
)
@serve.ingress()
class Http:
    """One replica: holds the settings and a way to the scheduler, and no state of its own."""

    def __init__(self, config: Config | None) -> None:
        end_with_raylet()
        self._held = ExitStack()
        if config is None:  # deployed by `serve`: nobody else has started the scheduler
            config = load_config()
            self._held.enter_context(connect(config))
        self._config = config
        write_logs(config.logging.format, config.logging.level)

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The ASGI application; called by Serve once this replica is made."""
        send_ahead_to(object_store(self._config))
        gateway = Gateway(self._config.cluster.namespace, patience_s=PATIENCE_S)
        return create_app(self._config, gateway)


def application(config: Config | None) -> Application:
    """The deployment under these settings; with None each replica loads its own."""
    replicas = config.serve.replicas if config else 1
    bound: Any = Http.options(num_replicas=replicas).bind(config)  # type: ignore[attr-defined]
    made: Application = bound
    return made


app = application(None)
