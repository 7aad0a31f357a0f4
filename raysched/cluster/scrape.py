"""What Ray's agents on all nodes show, as one text that Prometheus reads."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import ray

from raysched.cluster.nearby import ask_nearby
from raysched.errors import ClusterError

WAIT_S = 3.0
MOST_BYTES = 64 * 1024**2
"""Of one agent's answer."""
OURS = "ray_raysched_"
_META = re.compile(r"# (HELP|TYPE) (\S+)")
_NAME = re.compile(r"[^\s{]+")
_PARTS = re.compile(r"_(bucket|count|sum|created)$")


@dataclass(slots=True)
class _Family:
    """One metric: its help and type, and the samples of all nodes."""

    help: str = ""
    type: str = ""
    samples: list[str] = field(default_factory=list)


def gathered(*, everything: bool) -> str:
    """All series of raysched, or of Ray too, from the agents of all living nodes. A node that does
    not answer is told by ``ray_raysched_nodes_silent``. Raises ``ClusterError`` when none does."""
    addresses = agents()
    with ThreadPoolExecutor(max(1, min(32, len(addresses)))) as pool:
        answers = list(pool.map(_answer_of, addresses))
    texts = [text for text in answers if text is not None]
    if not texts:
        raise ClusterError(
            f"None of {len(addresses)} nodes shows its metrics.",
            remedy="Ray's agents may still be starting: ask again; see docs/monitoring.md.",
        )
    silent = len(answers) - len(texts)
    own = (
        "# HELP ray_raysched_nodes_silent Nodes whose numbers are missing in this answer.\n"
        "# TYPE ray_raysched_nodes_silent gauge\n"
        f"ray_raysched_nodes_silent {silent}\n"
    )
    return merged(texts, "" if everything else OURS) + own


def agents() -> list[str]:
    """Where the agents of the living nodes answer."""
    return [
        f"http://{_host(node['NodeManagerAddress'])}:{node['MetricsExportPort']}/metrics"
        for node in ray.nodes()
        if node["Alive"] and node["MetricsExportPort"] > 0
    ]


def merged(texts: Iterable[str], prefix: str) -> str:
    """The texts as one, each metric described once; only those whose name begins with a prefix."""
    families: dict[str, _Family] = {}
    for text in texts:
        for line in text.splitlines():
            if found := _META.match(line):
                family = families.setdefault(found[2], _Family())
                if found[1] == "HELP":
                    family.help = line
                else:
                    family.type = line
            elif line and not line.startswith("#"):
                name = _NAME.match(line)
                if name is not None:
                    _family_of(families, name[0]).samples.append(line)
    return "".join(
        "".join(f"{line}\n" for line in (family.help, family.type, *family.samples) if line)
        for name, family in families.items()
        if name.startswith(prefix) and family.samples
    )


def _family_of(families: dict[str, _Family], name: str) -> _Family:
    known = families.get(name) or families.get(_PARTS.sub("", name))
    return known if known is not None else families.setdefault(name, _Family())


def _answer_of(address: str) -> str | None:
    try:
        with ask_nearby(address, WAIT_S) as answer:
            text: bytes = answer.read(MOST_BYTES)
    except OSError:
        return None
    return text.decode("utf-8", "replace")


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
