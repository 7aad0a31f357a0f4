"""Every setting, on one frozen value; the only place that reads the environment.

Order of authority: arguments, then ``RAYSCHED_*`` variables (``RAYSCHED_CLUSTER__LANES=2``), then
the TOML file named by ``RAYSCHED_CONFIG``, then the defaults documented in configs/default.toml.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path, user_config_path, user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from raysched.core.limits import Limits
from raysched.core.model import MAIN, PoolName
from raysched.errors import InvalidSetting, faults_in_words
from raysched.logs import LogFormat


class Section(BaseModel):
    """Base of the groups of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PoolSettings(Section):
    """Lanes of one shape, and how many of them. ``most_lanes``: up to so many are asked for while
    work waits, also where there is no room yet, and given back when idle, but for ``lanes``."""

    lanes: int | None = Field(default=None, ge=0, le=4096)
    most_lanes: int | None = Field(default=None, ge=1, le=4096)
    lane_cpus: float = Field(default=1.0, gt=0, le=64)
    lane_gpus: float = Field(default=0.0, ge=0, le=8)
    lane_gb: float = Field(default=8.0, ge=1.5)

    @model_validator(mode="after")
    def _no_fewer_than_kept(self) -> PoolSettings:
        if self.most_lanes is not None and self.most_lanes < (self.lanes or 1):
            raise ValueError("most_lanes: must be at least lanes, which are always kept")
        if self.lanes == 0 and self.most_lanes is None:
            raise ValueError("lanes: 0 keeps none, so most_lanes must say how many there may be")
        return self


class EnginePool(PoolSettings):
    """Lanes for some engines alone. Its name is part of its lanes' names."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    engines: tuple[str, ...] = Field(min_length=1)


class ClusterSettings(PoolSettings):
    """How Ray is used. Its own lanes are those of all engines that no pool names."""

    address: str | None = None
    namespace: str = "raysched"
    pools: tuple[EnginePool, ...] = ()
    idle_lane_s: float = Field(default=60.0, ge=1)
    spare_process: bool | None = None
    unit_limit_s: float = Field(default=600.0, gt=0)
    lane_ready_s: float = Field(default=120.0, gt=0)
    start_timeout_s: float = Field(default=60.0, gt=0)
    stop_interrupt_s: float = Field(default=1.0, ge=0)
    stop_force_s: float = Field(default=2.0, ge=0)
    group_commit_events: int = Field(default=256, ge=1, le=10_000)
    max_watchers: int = Field(default=2000, ge=1)
    max_waiting_events: int = Field(default=1000, ge=1)
    max_waiting_jobs: int = Field(default=20_000, ge=1)

    @field_validator("lanes")
    @classmethod
    def _never_none(cls, lanes: int | None) -> int | None:
        if lanes == 0:
            raise ValueError("at least one lane is kept for what no pool is for")
        return lanes

    @field_validator("pools")
    @classmethod
    def _told_apart(cls, pools: tuple[EnginePool, ...]) -> tuple[EnginePool, ...]:
        for what, used in (
            ("name", [pool.name for pool in pools]),
            ("engine", [engine for pool in pools for engine in pool.engines]),
        ):
            if twice := next((each for each in used if used.count(each) > 1), None):
                raise ValueError(f"{what} {twice!r} is in two pools")
        return pools

    def shapes(self) -> dict[PoolName, PoolSettings]:
        """All pools in the order in which they take room: the main one has what is left."""
        named: dict[PoolName, PoolSettings] = {PoolName(pool.name): pool for pool in self.pools}
        return named | {MAIN: self}

    def pool_of(self, engine: str | None) -> PoolName:
        """Where the work of an engine runs; None: of work without one."""
        pools = (pool.name for pool in self.pools if engine in pool.engines)
        return PoolName(next(pools, MAIN))


class ServeSettings(Section):
    """How the HTTP service listens and which files it may name."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    replicas: int = Field(default=1, ge=1, le=64)
    slide_folders: tuple[Path, ...] = ()
    session_hours: float = Field(default=12.0, gt=0, le=720)
    secure_cookie: bool = False
    max_gb_per_user: float = Field(default=200.0, ge=0)
    upload_hours: float = Field(default=72.0, gt=0)
    model_folders: tuple[Path, ...] = ()
    max_streams: int = Field(default=100, ge=1, le=500)
    max_streams_per_user: int = Field(default=10, ge=1)
    open_metrics: bool = False


class SegmentationSettings(Section):
    """What a segmentation uses unless the request says otherwise."""

    engine: str = "classical"
    tile_px: int = Field(default=1024, ge=64, le=8192)
    chunk_tiles: int = Field(default=4, ge=1, le=256)
    max_failed_share: float = Field(default=0.1, ge=0, le=1)


class ReuseSettings(Section):
    """How much of what jobs have computed is kept for the same user's later jobs."""

    most_gb_per_user: float = Field(default=20.0, ge=0)


class LimitSettings(Section):
    """How much one user may ask of the service at once, and for how long it waits for a client."""

    default_burst: int = Field(default=30, ge=1, le=1_000_000)
    default_per_s: float = Field(default=10.0, gt=0, le=1_000_000)
    create_burst: int = Field(default=5, ge=1, le=1_000_000)
    create_per_s: float = Field(default=1.0, gt=0, le=1_000_000)
    upload_burst: int = Field(default=30, ge=1, le=1_000_000)
    upload_per_s: float = Field(default=10.0, gt=0, le=1_000_000)
    export_burst: int = Field(default=30, ge=1, le=1_000_000)
    export_per_s: float = Field(default=10.0, gt=0, le=1_000_000)
    tiles_burst: int = Field(default=2000, ge=1, le=1_000_000)
    tiles_per_s: float = Field(default=400.0, gt=0, le=1_000_000)
    strangers_burst: int = Field(default=100, ge=1, le=1_000_000)
    strangers_per_s: float = Field(default=50.0, gt=0, le=1_000_000)
    requests_per_user: int = Field(default=40, ge=1, le=1000)
    downloads_per_user: int = Field(default=8, ge=1, le=1000)
    downloads: int = Field(default=32, ge=1, le=1000)
    stall_s: float = Field(default=60.0, gt=0)


class StorageSettings(Section):
    """An object store between nodes that share no folder, and what a node keeps of it."""

    url: str | None = Field(default=None, pattern=r"^s3://[^/]+(/.*)?$")
    endpoint: str | None = Field(default=None, pattern=r"^https?://")
    region: str | None = None
    slides_gb: float = Field(default=200.0, gt=0)
    results_gb: float = Field(default=200.0, gt=0)


class LoggingSettings(Section):
    """What processes write about themselves, and how much is kept of what jobs say."""

    format: LogFormat = LogFormat.JSON
    level: Literal["debug", "info", "warning", "error"] = "info"
    most_mb_per_job: float = Field(default=8.0, ge=0.25)
    most_gb: float = Field(default=2.0, gt=0)


class Config(BaseSettings):
    """The settings of one process. Build with ``load_config``."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix="RAYSCHED_", env_nested_delimiter="__"
    )

    state: Path = Field(default_factory=lambda: user_data_path("raysched"))
    cache: Path = Field(default_factory=lambda: user_cache_path("raysched"))
    samples: Path | None = None
    scheduling: Limits = Limits()
    cluster: ClusterSettings = ClusterSettings()
    serve: ServeSettings = ServeSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    reuse: ReuseSettings = ReuseSettings()
    storage: StorageSettings = StorageSettings()
    limits: LimitSettings = LimitSettings()
    logging: LoggingSettings = LoggingSettings()

    @field_validator("scheduling")
    @classmethod
    def _plausible(cls, limits: Limits) -> Limits:
        if fault := next(limits.faults(), None):
            raise ValueError(fault)
        return limits

    def at(self, state: str) -> Config:
        """With the state folder of the service, which need not be the one that this process would
        use: there the service keeps results of jobs that name no folder."""
        return self.model_copy(update={"state": Path(state)})

    @property
    def results(self) -> Path:
        """Where results go when a request names no folder."""
        return self.state / "results"

    @property
    def shelf(self) -> Path:
        """Where what jobs have computed is kept for later ones, a folder for each user."""
        return self.state / "shelf"

    @property
    def notes(self) -> Path:
        """Where a process that is ended leaves the reason for the scheduler."""
        return self.state / "notes"

    @property
    def logs(self) -> Path:
        """Where what jobs have said is kept, a folder for each job."""
        return self.state / "logs"

    @property
    def reviews(self) -> Path:
        """Where people's verdicts on samples of results are kept, a folder for each job."""
        return self.state.absolute() / "reviews"

    @property
    def uploads(self) -> Path:
        """Where uploaded slides lie, a folder for each user."""
        return self.state / "slides"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the hook's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments over environment over file."""
        path = os.environ.get("RAYSCHED_CONFIG")
        file = InitSettingsSource(settings_cls, read_toml(Path(path)) if path else {})
        address = os.environ.get("RAY_ADDRESS")  # set by `ray job submit`
        ray = InitSettingsSource(settings_cls, {"cluster": {"address": address}} if address else {})
        return init_settings, env_settings, file, ray


class Remote(BaseSettings):
    """How this person's command line reaches a server. Build with ``load_remote``.

    Apart from ``Config``, which travels to other processes: a key of somebody's must not.
    """

    model_config = SettingsConfigDict(frozen=True, env_prefix="RAYSCHED_")

    server: str | None = None
    key: SecretStr | None = None
    keys: Path = Field(default_factory=lambda: user_config_path("raysched") / "keys.json")


def load_remote() -> Remote:
    """The server and key in force: ``RAYSCHED_SERVER``, ``RAYSCHED_KEY``, ``RAYSCHED_KEYS``."""
    return Remote()


def load_config(**arguments: Any) -> Config:
    """The settings in force. Raises ``InvalidSetting`` that names each bad key."""
    try:
        return Config(**arguments)
    except ValidationError as error:
        raise InvalidSetting(
            f"The settings are not valid: {faults_in_words(error.errors())}.",
            remedy="See configs/default.toml for every key with its unit and default.",
        ) from None


def set_ray_environment() -> None:
    """Set what Ray reads from the environment when it is imported, unless it is set already.

    Token authentication must be chosen before the import: heads, workers and clients then agree,
    and Ray makes a token in the user's home when it starts a cluster where there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # the bytes of uploads lie in the object store until then: a second's worth, by default
    os.environ.setdefault("RAY_free_objects_period_milliseconds", "50")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH", "serve_app.flow:middlewares")
    # A proxy that was killed is missed after a second, not ten; one that starts slowly on a machine
    # that is busy is waited for, not killed after five.
    os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S", "1")
    os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "30")
    # Numbers are 2 s old at most, and those of a process that is gone leave after 4 s; Ray's own
    # choice is 10 s and 20 s. As a variable, since Ray's agents read it from nowhere else.
    os.environ.setdefault("RAY_metrics_report_interval_ms", "2000")
    if "ray" not in sys.modules:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def ray_submission() -> str | None:
    """The submission id of the Ray job (``ray job submit``) whose entry point this process is."""
    try:
        said = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        return str(said["metadata"]["job_submission_id"])
    except (ValueError, LookupError, TypeError):
        return None


def node_cache() -> Path | None:
    """Where this node keeps copies, if it has been told so."""
    told = os.environ.get("RAYSCHED_CACHE")
    return Path(told) if told else None


def auth_mode() -> str:
    """How Ray on this machine is told to prove who connects: ``token``, or nothing."""
    return os.environ.get("RAY_AUTH_MODE", "")


def missing_token() -> Path | None:
    """Where Ray looks for its token on this machine, if it needs one and has none there. Ray takes
    it from its environment first."""
    if auth_mode() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return None
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path.home() / ".ray" / "auth_token"
    return None if path.is_file() else path


def read_toml(path: Path) -> dict[str, Any]:
    """A settings file as nested dicts. Raises ``InvalidSetting``."""
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        raise InvalidSetting(
            f"The settings file {path} cannot be read: {error}.",
            remedy="Point RAYSCHED_CONFIG at a TOML file, or unset it.",
        ) from None
