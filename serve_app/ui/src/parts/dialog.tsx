// Dialogs and passing messages: the browser's own <dialog>, which keeps the focus and closes by Escape.
import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { asApiError, type ApiError } from "../api/http";
import { Button } from "./basics";
import { Icon } from "./icons";

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  actions?: ComponentChildren;
  wide?: boolean;
  /** Along the right edge, in full height: for what one looks at beside the rest. */
  side?: boolean;
}

export function Dialog(props: DialogProps): JSX.Element {
  const { title, onClose, children, actions, wide, side } = props;
  const dialog = useRef<HTMLDialogElement>(null);
  const name = useId();
  useEffect(() => {
    const shown = dialog.current;
    const before = document.activeElement;
    shown?.showModal();
    return () => {
      shown?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`dialog${wide ? " wide" : ""}${side ? " side" : ""}`}
      aria-labelledby={name}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div class="dialog-body">
        <header>
          <h2 id={name}>{title}</h2>
          <Button icon="close" kind="quiet" label="Close" onClick={onClose} />
        </header>
        {children}
        {actions && <footer class="row end">{actions}</footer>}
      </div>
    </dialog>
  );
}

interface Question {
  title: string;
  text: ComponentChildren;
  yes: string;
  danger: boolean;
  answer: (value: boolean) => void;
}

const question = signal<Question | null>(null);

/** Ask before something that cannot be undone; resolves to whether it is wanted. */
export function confirmed(
  title: string,
  text: ComponentChildren,
  yes: string,
  danger = true,
): Promise<boolean> {
  return new Promise((answer) => {
    question.value = { title, text, yes, danger, answer };
  });
}

interface Toast {
  id: number;
  tone: "good" | "bad" | "info";
  text: string;
  more?: string;
}

const toasts = signal<Toast[]>([]);
const SHOWN_MS = 6000;
let made = 0;

/** Say something in passing. What went wrong stays until it is closed. */
export function say(text: string, tone: Toast["tone"] = "good", more?: string): void {
  const toast: Toast = { id: ++made, tone, text, ...(more ? { more } : {}) };
  toasts.value = [...toasts.value.slice(-3), toast];
  if (tone !== "bad") setTimeout(() => drop(toast.id), SHOWN_MS);
}

export function sayError(error: ApiError): void {
  say(error.message, "bad", error.remedy);
}

/** Do something that may fail, and say so if it does; whether it went well. */
export async function tried(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    sayError(asApiError(error));
    return false;
  }
}

const drop = (id: number) => (toasts.value = toasts.value.filter((toast) => toast.id !== id));

/** Where dialogs and messages of the whole page appear; there once. */
export function Messages(): JSX.Element {
  const asked = question.value;
  const done = (value: boolean) => {
    question.value = null;
    asked?.answer(value);
  };
  return (
    <>
      {asked && (
        <Dialog
          title={asked.title}
          onClose={() => done(false)}
          actions={
            <>
              <Button onClick={() => done(false)}>Keep it as it is</Button>
              <Button kind={asked.danger ? "danger" : "primary"} onClick={() => done(true)}>
                {asked.yes}
              </Button>
            </>
          }
        >
          <div class="dialog-text">{asked.text}</div>
        </Dialog>
      )}
      <div class="toasts" role="status" aria-live="polite">
        {toasts.value.map((toast) => (
          <div key={toast.id} class={`toast ${toast.tone}`}>
            <Icon name={toast.tone === "bad" ? "warning" : "info"} />
            <div>
              <strong>{toast.text}</strong>
              {toast.more && <p>{toast.more}</p>}
            </div>
            <Button icon="close" kind="quiet" label="Dismiss" onClick={() => drop(toast.id)} />
          </div>
        ))}
      </div>
    </>
  );
}
