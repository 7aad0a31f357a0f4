import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Item } from "./types";

interface Props {
  items: readonly Item[];
  current: number;
  onItem: (number: number) => void;
}

/** All items as small marks: where one is, what was answered. One stop for the Tab key. */
export function Strip({ items, current, onItem }: Props): JSX.Element {
  const list = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const mark = list.current?.querySelector<HTMLElement>('[aria-current="true"]');
    if (!list.current || !mark) return;
    const top = mark.offsetTop - list.current.offsetTop;
    list.current.scrollTop = top - list.current.clientHeight / 2;
  }, [current]);
  return (
    <div ref={list} class="judge-strip" role="group" aria-label="All items">
      {items.map((item) => (
        <button
          key={item.number}
          type="button"
          class={`judge-mark ${item.verdict ?? "open"}`}
          aria-current={item.number === current ? "true" : undefined}
          aria-label={`${item.number}, ${item.verdict ?? "no answer"}`}
          title={`${item.number}: ${item.verdict ?? "no answer"}`}
          tabIndex={item.number === current ? 0 : -1}
          onClick={() => onItem(item.number)}
        />
      ))}
    </div>
  );
}
