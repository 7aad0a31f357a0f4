"""Style is a test: layers, sizes, names, and that the documents say what is there."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer import Typer

ROOT = Path(__file__).parent.parent
UI = ROOT / "serve_app" / "ui"
CODE = sorted(
    path
    for top in ("raysched", "serve_app")
    for path in (ROOT / top).rglob("*.py")
    if "node_modules" not in path.parts
)
ALL_PYTHON = sorted([*CODE, *(ROOT / "tests").rglob("*.py"), *(ROOT / "scripts").rglob("*.py")])

MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_COLUMNS, MAX_PARAMETERS = 500, 60, 100, 6
MAX_UI_LINES = 400

# Who may know whom: the first prefix that fits a module gives what it may import of ours.
MAY_KNOW = {
    "raysched.errors": (),
    "raysched.core": ("raysched.errors", "raysched.core"),
    "raysched.journal": ("raysched.errors", "raysched.core", "raysched.journal"),
    "raysched.imaging": ("raysched.errors", "raysched.imaging"),
    "raysched.results": ("raysched", "raysched.errors", "raysched.imaging", "raysched.results"),
    "raysched.logs": (),
    "raysched.config": (
        *("raysched.errors", "raysched.core.limits", "raysched.core.model", "raysched.logs"),
    ),
    "raysched.simulation": (
        "raysched.errors",
        "raysched.core",
        "raysched.journal",
        "raysched.testing",
    ),
    "raysched.testing.engines": ("raysched.errors", "raysched.imaging"),
    "raysched.testing": ("raysched.errors", "raysched.core", "raysched.testing.cluster"),
    "raysched.cluster": (
        "raysched",
        "raysched.errors",
        "raysched.config",
        "raysched.logs",
        "raysched.core",
        "raysched.journal",
        "raysched.imaging",
        "raysched.results",
        "raysched.cluster",
    ),
}
# A client stands on the API's words alone.
MAY_KNOW["raysched.client"] = (
    *("raysched", "raysched.errors", "raysched.core", "raysched.imaging.request"),
    *("raysched.results.exports.formats", "raysched.client"),
    *("serve_app.models", "serve_app.account_models", "serve_app.slide_models"),
    *("serve_app.download_models", "serve_app.log_models", "serve_app.report_models"),
    *("serve_app.queue_models", "serve_app.estimate_models", "serve_app.slides.record"),
    "serve_app.node_models",
)
# Third parties that only one place may know; serve_app may use Ray's Serve.
ONLY_IN = {
    "ray": ("raysched.cluster",),
    "ray.serve": ("serve_app",),
    "duckdb": ("raysched.journal",),
    "matplotlib": ("raysched.cli.plots",),
    "h5py": ("raysched.results.exports.hdf5",),
    "torch": ("raysched.imaging.instanseg",),
    "onnxruntime": ("raysched.imaging.instanseg",),
}
NOT_IN_CORE = {
    *("ray", "duckdb", "time", "datetime", "random", "logging", "os", "pathlib", "asyncio"),
    *("threading", "numpy", "pydantic", "secrets", "uuid"),
}
OURS = ("raysched.", "serve_app")
BANNED_NAMES = {"utils", "common", "helpers", "manager", "misc", "util", "helper"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a module imports, also inside functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module in {"raysched", "ray"}:
                yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def below(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a module is one of these or inside one; the bare package is meant exactly."""
    return any(
        name == prefix or (prefix != "raysched" and name.startswith(prefix + "."))
        for prefix in prefixes
    )


def layer_faults(source: str, module: str) -> list[str]:
    faults = []
    known = next((MAY_KNOW[layer] for layer in MAY_KNOW if below(module, (layer,))), None)
    for line, name in imports(source):
        ours = "raysched" if name == "raysched.__version__" else name
        is_ours = ours.split(".")[0] in {"raysched", "serve_app"}
        if known is not None and is_ours and not below(ours, known):
            faults.append(f"{module}:{line} imports {name}: that layer is above it")
        for party, homes in ONLY_IN.items():
            fits = name == party or name.startswith(party + ".")
            serve = below(name, ("ray.serve",)) and below(module, ("serve_app",))
            if fits and not serve and not below(module, homes):
                faults.append(f"{module}:{line} imports {name}: only {homes[0]} may")
        if below(module, ("raysched.core",)) and name.split(".")[0] in NOT_IN_CORE:
            faults.append(f"{module}:{line} imports {name}: the core is pure, let events carry it")
    return faults


def size_faults(source: str, module: str) -> list[str]:
    lines = source.splitlines()
    faults = []
    if len(lines) > MAX_FILE_LINES:
        faults.append(f"{module} has {len(lines)} lines: split it")
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_COLUMNS:
            faults.append(f"{module}:{number} has {len(line)} columns")
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            faults.append(f"{module}:{node.lineno} {node.name} has {length} lines: split it")
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        count = len([argument for argument in arguments if argument.arg not in {"self", "cls"}])
        if count > MAX_PARAMETERS:
            faults.append(f"{module}:{node.lineno} {node.name} takes {count}: make a value of them")
    return faults


def habit_faults(source: str, module: str) -> list[str]:
    faults = []
    if module.rsplit(".", 1)[-1] in BANNED_NAMES:
        faults.append(f"{module}: name it after what it does")
    if not ast.get_docstring(ast.parse(source)):
        faults.append(f"{module} has no module docstring: say what it is for")
    for number, line in enumerate(source.splitlines(), start=1):
        if re.search(r"\bTODO\b|\bFIXME\b", line):
            faults.append(f"{module}:{number} leaves work behind: do it, or say it in an issue")
        reads_environment = re.search(r"\bos\.environ|\bos\.getenv", line)
        if reads_environment and module.startswith(OURS) and module != "raysched.config":
            faults.append(f"{module}:{number} reads the environment: raysched.config does")
        if re.search(r"unittest\.mock|\bMagicMock\b", line):
            faults.append(f"{module}:{number} mocks: run the real thing, or ship a fake")
        if module.startswith("tests") and re.search(r"\btime\.sleep\(", line):
            faults.append(f"{module}:{number} sleeps for luck: wait for the event")
    return faults


@dataclass(frozen=True)
class Bad:
    """A snippet that a rule must refuse."""

    rule: Callable[[str, str], list[str]]
    module: str
    source: str


SNIPPETS = [
    Bad(layer_faults, "raysched.core.x", "import time"),
    Bad(layer_faults, "raysched.core.x", "def f():\n    import numpy as np"),
    Bad(layer_faults, "raysched.core.x", "from raysched.journal import codec"),
    Bad(layer_faults, "raysched.imaging.x", "from raysched.core.model import JobId"),
    Bad(layer_faults, "raysched.testing.x", "from raysched.imaging.engine import Engine"),
    Bad(layer_faults, "raysched.testing.engines", "from raysched.testing.cluster import job"),
    Bad(layer_faults, "raysched.results.x", "import ray"),
    Bad(layer_faults, "raysched.cli.x", "from ray import serve"),
    Bad(layer_faults, "serve_app.x", "import ray"),
    Bad(layer_faults, "raysched.cluster.x", "import duckdb"),
    Bad(layer_faults, "raysched.errors", "from raysched import config"),
    Bad(layer_faults, "raysched.client.x", "from raysched.cluster.gateway import Gateway"),
    Bad(layer_faults, "raysched.client.x", "from serve_app.desk import Desk"),
    Bad(size_faults, "raysched.x", "x = 1\n" * 501),
    Bad(size_faults, "raysched.x", "def f():\n" + "    x = 1\n" * 60),
    Bad(size_faults, "raysched.x", "def f(a, b, c, d, *, e, f, g): ..."),
    Bad(size_faults, "raysched.x", "#" * 101),
    Bad(habit_faults, "raysched.utils", '"""Doc."""'),
    Bad(habit_faults, "raysched.x", "x = 1"),
    Bad(habit_faults, "raysched.x", '"""Doc."""\n# TODO later'),
    Bad(habit_faults, "raysched.x", '"""Doc."""\nimport os\nos.environ["A"]'),
    Bad(habit_faults, "tests.x", '"""Doc."""\nfrom unittest.mock import patch'),
    Bad(habit_faults, "tests.x", '"""Doc."""\ntime.sleep(1)'),
]


@pytest.mark.parametrize("bad", SNIPPETS, ids=lambda bad: f"{bad.rule.__name__}:{bad.source[:40]}")
def test_each_rule_refuses_what_it_is_for(bad: Bad) -> None:
    assert bad.rule(bad.source, bad.module)


def test_serve_app_may_use_serve() -> None:
    assert layer_faults("from ray import serve", "serve_app.service") == []


def test_every_layer_knows_only_what_is_below_it() -> None:
    assert [
        fault for path in CODE for fault in layer_faults(path.read_text(), module_of(path))
    ] == []


def test_files_functions_and_lines_stay_small() -> None:
    faults = [f for path in ALL_PYTHON for f in size_faults(path.read_text(), module_of(path))]
    assert faults == []


def ui_faults(text: str, name: str) -> list[str]:
    """What the web UI's sources keep to, beside what their compiler and formatter check."""
    lines = text.splitlines()
    faults = [f"{name} has {len(lines)} lines"] if len(lines) > MAX_UI_LINES else []
    faults += [
        f"{name}:{number} {what}"
        for number, line in enumerate(lines, start=1)
        for what, pattern in UI_BANNED.items()
        if re.search(pattern, line)
    ]
    return faults


UI_BANNED = {
    "asks by alert, confirm or prompt: use parts/dialog": r"(?<![\w.])(alert|confirm|prompt)\(",
    "asks another host": r"""["'`(]https?://(?!www\.w3\.org/)""",
    "has a raw colour: use those of tokens.css": r"^(?!\s*(//|\*)).*:\s*#[0-9a-f]{3,8}\b.*;$",
    "gives up on types": r"[:<]\s*any\b|@ts-(ignore|nocheck)",
}


@pytest.mark.parametrize(
    "line",
    [
        "if (confirm('sure?')) go();",
        'load("https://cdn.example/x.js")',
        "  color: #fff;",
        "const x: any = 1;",
    ],
)
def test_each_rule_of_the_web_ui_refuses_what_it_is_for(line: str) -> None:
    assert len(ui_faults(line, "made_up")) == 1


def test_the_web_ui_keeps_its_rules() -> None:
    found = (UI / "src").rglob("*")
    sources = [path for path in found if path.suffix in {".ts", ".tsx", ".css"}]
    assert len(sources) > 20
    faults = [
        fault
        for path in sources
        if path.name != "tokens.css" and not path.name.endswith(".test.ts")
        for fault in ui_faults(path.read_text(), path.relative_to(UI).as_posix())
    ]
    assert faults == []


def test_no_two_test_files_have_one_name() -> None:
    """Tests are no package: of two files of one name the second is not found."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_habits_are_kept() -> None:
    others = [path for path in ALL_PYTHON if path != Path(__file__)]  # this file names the banned
    faults = [f for path in others for f in habit_faults(path.read_text(), module_of(path))]
    assert faults == []


def test_no_tracked_file_names_a_path_of_somebodys_machine() -> None:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    faults = []
    for name in filter(None, names):
        path = ROOT / name
        if path.suffix in {".png", ".lock"} or not path.is_file():
            continue
        if re.search(r"(?<![\w.])/(work|root|home/\w+)/", path.read_text(errors="replace")):
            faults.append(name)
    assert faults == []


def test_readme_names_only_scripts_and_verbs_that_exist() -> None:
    from raysched.cli.main import app

    def names(app: Typer, before: str = "") -> set[str]:
        own = {
            before + (command.name or command.callback.__name__.replace("_", "-"))
            for command in app.registered_commands
            if command.callback
        }
        groups = [group for group in app.registered_groups if group.typer_instance and group.name]
        below = [names(group.typer_instance, f"{before}{group.name} ") for group in groups]
        return own.union(*below)

    verbs = names(app)
    groups = "|".join(group.name for group in app.registered_groups if group.name)
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    said = set(
        re.findall(rf"^(?:\S+=\S+ )*raysched ((?:(?:{groups}) )?[a-z-]+)", blocks, re.MULTILINE)
    )
    scripts = set(re.findall(r"scripts/[\w.-]+", blocks))
    assert said - verbs == set()
    assert [script for script in scripts if not (ROOT / script).is_file()] == []
    assert len(said) >= 2


def test_readme_begins_with_the_two_commands() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks[0].split("\n")[:2] == ["scripts/demo", "scripts/test"]


def test_the_architecture_names_files_that_exist_and_the_table_s_own_moves() -> None:
    from raysched.core.transitions import diagram

    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_.]+\.[a-z]+)`", text)
    roots = (ROOT, ROOT / "raysched")
    assert [name for name in named if not any((at / name).exists() for at in roots)] == []
    assert len(named) > 20
    assert diagram().strip() in text, "print it anew: raysched.core.transitions.diagram()"


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = {re.split(r"[\[><=~! ]", each)[0].lower() for each in wanted}
    locked = set(
        re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    assert names - locked == set(), "run scripts/lock"


def test_documented_variables_exist_in_the_settings() -> None:
    from raysched.config import Config, Remote

    settings = (*Config.model_fields, *Remote.model_fields)
    known = {"RAYSCHED_CONFIG", *(f"RAYSCHED_{name.upper()}" for name in settings)}
    for test in (ROOT / "tests").rglob("*.py"):
        known |= set(re.findall(r'os\.environ\.get\("(\w+)"\)', test.read_text()))
    configs = [path for path in (ROOT / "configs").rglob("*") if path.is_file()]
    documents = [*ROOT.glob("*.md"), *configs]
    said = {
        name.split("__")[0]
        for path in documents
        for name in re.findall(r"RAYSCHED_[A-Z_]*[A-Z]", path.read_text())
    }
    assert said - known == set()


def test_the_settings_file_documents_every_default_with_a_comment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raysched.config import Config

    for name in ("RAY_ADDRESS", "RAYSCHED_CONFIG", "RAYSCHED_SAMPLES"):
        monkeypatch.delenv(name, raising=False)
    text = (ROOT / "configs" / "default.toml").read_text()
    documented = tomllib.loads(text)
    defaults = Config().model_dump(mode="json")
    for section, values in documented.items():
        optional = {key: None for key, value in defaults[section].items() if value is None}
        assert {**optional, **values} == defaults[section], section
    machine = {"state", "cache", "samples"}
    assert set(defaults) == set(documented) | machine
    uncommented = [
        line for line in text.splitlines() if re.match(r"(# )?\w+ = ", line) and line.count("#") < 1
    ]
    assert uncommented == []
