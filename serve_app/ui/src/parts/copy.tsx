// Copying a text to the clipboard; where the browser does not let us, the text is selected instead.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { say } from "./dialog";
import { Button } from "./basics";
import "./more.css";

const SHOWN_MS = 2000;

/** Whether the text is on the clipboard now. Pages that are not from a safe origin have none. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Copy a text and say so: `what` begins a sentence, "The link" is copied. */
export async function copyText(text: string, what: string): Promise<void> {
  if (await copied(text)) say(`${what} is copied.`);
  else say("The browser does not let this page copy.", "bad", `Mark it and copy it: ${text}`);
}

function select(element: HTMLElement): void {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection?.removeAllRanges();
  selection?.addRange(range);
}

/** A text in fixed width with a button that copies it. `label`: what it is, in words. */
export function Copyable(props: { text: string; label: string; big?: boolean }): JSX.Element {
  const shown = useRef<HTMLElement>(null);
  const [answer, setAnswer] = useState<"" | "Copied" | "Selected: copy it by Ctrl+C">("");
  useEffect(() => {
    if (answer !== "Copied") return;
    const timer = setTimeout(() => setAnswer(""), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [answer]);
  const copy = async () => {
    if (await copied(props.text)) return setAnswer("Copied");
    if (shown.current) select(shown.current);
    setAnswer("Selected: copy it by Ctrl+C");
  };
  return (
    <span class={props.big ? "copyable big" : "copyable"}>
      <code ref={shown} class={props.big ? "" : "truncate"} title={props.text}>
        {props.text}
      </code>
      {props.big ? (
        <Button icon="copy" kind="primary" onClick={() => void copy()}>
          Copy
        </Button>
      ) : (
        <Button
          icon="copy"
          kind="quiet"
          label={`Copy ${props.label}`}
          onClick={() => void copy()}
        />
      )}
      <span role="status" class={answer ? "copyable-answer" : "unseen"}>
        {answer}
      </span>
    </span>
  );
}
