import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { ask, asApiError } from "../../api/http";
import type { Slide } from "../../api/types";
import { Button } from "../../parts/basics";
import { sayError } from "../../parts/dialog";
import { put } from "../../slides";

/** The name as an input in its place: Enter keeps it, Escape leaves it. The extension stays. */
export function Rename({ slide, onDone }: { slide: Slide; onDone: () => void }): JSX.Element {
  const dot = slide.name.lastIndexOf(".");
  const extension = dot > 0 ? slide.name.slice(dot) : "";
  const [stem, setStem] = useState(slide.name.slice(0, dot > 0 ? dot : undefined));
  const [busy, setBusy] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => {
    const before = document.activeElement;
    input.current?.select(); // at once: what is typed next is the name
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, []);
  const name = stem.trim() + extension;
  const keep = async (event: Event) => {
    event.preventDefault();
    if (name === slide.name) return onDone();
    setBusy(true);
    try {
      put(await ask<Slide>(`/slides/${slide.id}`, { method: "PATCH", json: { name } }));
      onDone();
    } catch (error) {
      sayError(asApiError(error));
      setBusy(false);
    }
  };
  return (
    <form class="rename" onSubmit={(event) => void keep(event)}>
      <input
        ref={input}
        aria-label={`New name of ${slide.name}, without ${extension}`}
        value={stem}
        required
        maxLength={240}
        onInput={(event) => setStem(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && onDone()}
      />
      <span class="muted">{extension}</span>
      <Button type="submit" icon="review" kind="quiet" label="Keep the name" disabled={busy} />
      <Button icon="close" kind="quiet" label="Leave the name" onClick={onDone} />
    </form>
  );
}
