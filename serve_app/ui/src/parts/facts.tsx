// A name and what is known by it: a row of `<dl class="facts">`.
import type { ComponentChildren, JSX } from "preact";

export function Fact(props: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </>
  );
}
