"""Which methods a path has: what 405 says in ``Allow``."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.routing import compile_path


class Methods:
    """The methods of each path of a table of (method, path). Where two paths fit an address, the
    one with fewer names in it is meant."""

    def __init__(self, table: Iterable[tuple[str, str]]) -> None:
        methods: dict[str, set[str]] = {}
        for method, path in table:
            methods.setdefault(path, set()).add(method)
        by_names = sorted(methods, key=lambda path: path.count("{"))
        self._rows = [(compile_path(path)[0], methods[path]) for path in by_names]

    def of(self, address: str) -> list[str]:
        """The methods that an address has, in order."""
        return sorted(next((has for path, has in self._rows if path.match(address)), ()))
