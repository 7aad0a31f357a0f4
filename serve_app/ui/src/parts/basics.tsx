// The parts that every view is put together from.
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import type { ApiError } from "../api/http";
import { Icon, type IconName } from "./icons";

type Kind = "plain" | "primary" | "quiet" | "danger";

interface ButtonProps {
  children?: ComponentChildren;
  icon?: IconName;
  /** In words, for an icon alone; also the tooltip. */
  label?: string;
  kind?: Kind;
  onClick?: (event: MouseEvent) => void;
  disabled?: boolean;
  pressed?: boolean;
  type?: "button" | "submit";
  id?: string;
}

export function Button(props: ButtonProps): JSX.Element {
  const { children, icon, label, kind = "plain", pressed, type = "button", ...rest } = props;
  return (
    <button
      type={type}
      class={`button ${kind}${children ? "" : " icon-only"}`}
      aria-label={children ? undefined : label}
      title={label}
      aria-pressed={pressed}
      {...rest}
    >
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface LinkProps {
  href: string;
  children?: ComponentChildren;
  icon?: IconName;
  kind?: Kind;
  download?: boolean;
  label?: string;
  newTab?: boolean;
}

/** A link that looks like a button. */
export function LinkButton(props: LinkProps): JSX.Element {
  const { href, children, icon, kind = "plain", download, label, newTab } = props;
  return (
    <a
      href={href}
      class={`button ${kind}${children ? "" : " icon-only"}`}
      download={download}
      aria-label={children ? undefined : label}
      title={label}
      {...(newTab ? { target: "_blank", rel: "noreferrer" } : {})}
    >
      {icon && <Icon name={icon} />}
      {children}
    </a>
  );
}

/** Nothing is there yet: what would be, and how to make it so. */
export function Empty(props: {
  icon: IconName;
  title: string;
  children?: ComponentChildren;
  action?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="empty">
      <span class="empty-mark">
        <Icon name={props.icon} size={28} />
      </span>
      <h2>{props.title}</h2>
      {props.children && <p>{props.children}</p>}
      {props.action && <div class="row centred">{props.action}</div>}
    </div>
  );
}

/** What went wrong and what to do, with a way to try again. */
export function Failure(props: {
  error: ApiError;
  onRetry?: (() => void) | undefined;
}): JSX.Element {
  return (
    <div class="notice bad" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{props.error.message}</strong>
        <p>{props.error.remedy}</p>
      </div>
      {props.onRetry && (
        <Button icon="retry" onClick={props.onRetry}>
          Try again
        </Button>
      )}
    </div>
  );
}

export function Notice(props: {
  tone?: "info" | "warn" | "bad" | "good";
  children: ComponentChildren;
}): JSX.Element {
  const tone = props.tone ?? "info";
  return (
    <div class={`notice ${tone}`}>
      <Icon name={tone === "info" || tone === "good" ? "info" : "warning"} />
      <div>{props.children}</div>
    </div>
  );
}

/** Grey shapes where something will be in a moment. */
export function Loading({ rows = 3, label = "Loading" }: { rows?: number; label?: string }) {
  return (
    <div class="loading" role="status" aria-label={label}>
      {Array.from({ length: rows }, (_, row) => (
        <span key={row} class="bone" />
      ))}
    </div>
  );
}

/** `value` 0..1; null: nobody knows how far. */
export function Progress(props: { value: number | null; label: string }): JSX.Element {
  const share = props.value == null ? null : Math.min(Math.max(props.value, 0), 1);
  return (
    <div
      class={`progress${share == null ? " unknown" : ""}`}
      role="progressbar"
      aria-label={props.label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share == null ? undefined : Math.round(share * 100)}
    >
      <span style={{ inlineSize: `${(share ?? 0.3) * 100}%` }} />
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  error?: string | null | undefined;
  children: (ids: { id: string; "aria-describedby": string | undefined }) => ComponentChildren;
}

/** A label, an input, and what there is to say about it. */
export function Field({ label, hint, error, children }: FieldProps): JSX.Element {
  const id = useId();
  const about = hint || error ? `${id}-about` : undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, "aria-describedby": about })}
      {about && (
        <p id={about} class={error ? "field-error" : "field-hint"}>
          {error ?? hint}
        </p>
      )}
    </div>
  );
}

const TONES: Record<string, string> = {
  waiting: "idle",
  needs_mpp: "ask",
  retry_waiting: "ask",
  planning: "busy",
  segmenting: "busy",
  assembling: "busy",
  publishing: "busy",
  cancelling: "ask",
  succeeded: "good",
  ready: "good",
  failed: "bad",
  refused: "bad",
  cancelled: "idle",
  skipped: "idle",
};

/** A state as a word with a dot: colour is never all there is. */
export function State({ state }: { state: string }): JSX.Element {
  const text = state === "needs_mpp" ? "needs pixel size" : state.replaceAll("_", " ");
  return <span class={`state ${TONES[state] ?? "idle"}`}>{text}</span>;
}

/** One of a few: a row of buttons, as a group of radio buttons. */
export function Choice<T extends string>(props: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
}): JSX.Element {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class="unseen">{props.label}</legend>
      {props.options.map(([value, text]) => (
        <label key={value}>
          <input
            type="radio"
            name={name}
            checked={props.value === value}
            onChange={() => props.onChange(value)}
          />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}

/** The head of a view. */
export function Head(props: {
  title: string;
  children?: ComponentChildren;
  about?: ComponentChildren;
}): JSX.Element {
  return (
    <header class="head">
      <div>
        <h1>{props.title}</h1>
        {props.about && <p>{props.about}</p>}
      </div>
      {props.children && <div class="row">{props.children}</div>}
    </header>
  );
}
