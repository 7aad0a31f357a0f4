"""HTML and SVG from values: what is not ``Html`` is escaped, so no text becomes markup."""

from __future__ import annotations

from html import escape

VOID = {"meta", "img", "br", "rect", "line", "circle", "path", "stop", "image"}
"""Elements without content; with the closing slash they are right in HTML and in SVG."""


class Html(str):
    """Markup: the only text that ``tag`` takes as it is."""

    __slots__ = ()


Child = Html | str | int | None


def text(value: object) -> Html:
    """A value as text. What UTF-8 cannot hold, or is no character of HTML, becomes U+FFFD."""
    known = str(value).encode("utf-8", "replace").decode()
    shown = "".join(each if each >= " " or each in "\t\n" else "\ufffd" for each in known)
    return Html(escape(shown, quote=True))


def join(*children: Child) -> Html:
    """Children one after another; None is nothing."""
    return Html("".join(c if isinstance(c, Html) else text(c) for c in children if c is not None))


def tag(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element. ``class_`` is the attribute class, ``text_anchor`` is text-anchor."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Html(f"<{name}{given}/>")
    return Html(f"<{name}{given}>{join(*children)}</{name}>")


def _number(value: object) -> str:
    return text(f"{value:.6g}" if isinstance(value, float) else value)
