// One setting of a job: its value, or several to try one after another.
import type { JSX } from "preact";
import { useEffect, useId, useState } from "preact/hooks";
import { Button } from "../../parts/basics";
import { parsed, parsedList, range, textOf, type Setting } from "./schema";
import { invalid, mark } from "./state";

interface SettingProps {
  /** "job/group.name": what was typed is remembered as invalid under it. */
  at: string;
  setting: Setting;
  /** `undefined`: as by default. */
  value: unknown;
  /** Values to try; `undefined`: none. */
  sweep?: readonly unknown[] | undefined;
  onValue: (value: unknown) => void;
  /** Absent where it cannot be swept over. */
  onSweep?: (values: readonly unknown[] | undefined) => void;
}

export function SettingField(props: SettingProps): JSX.Element {
  const { setting, at, value, sweep, onSweep } = props;
  const id = useId();
  const isSwept = sweep !== undefined;
  const isDefault = value === undefined && !isSwept;
  const error = invalid.value.get(at);
  const facts = [range(setting), usual(setting)].filter(Boolean).join(" · ");
  const reset = () => {
    mark(at, null);
    if (isSwept) onSweep?.(undefined);
    props.onValue(undefined);
  };
  const several = () => {
    mark(at, null);
    const from = value ?? setting.default;
    onSweep?.(isSwept ? undefined : from == null ? [] : [from]);
  };
  return (
    <div class={isDefault && !error ? "setting" : "setting is-set"}>
      <label for={id}>
        {setting.label} {setting.unit && <span class="setting-unit">{setting.unit}</span>}
      </label>
      <div class="setting-tools">
        {onSweep && setting.type !== "json" && (
          <Button
            kind="quiet"
            icon="layers"
            label={`${setting.label}: try several values`}
            pressed={isSwept}
            onClick={several}
          />
        )}
        {(!isDefault || error) && (
          <Button
            kind="quiet"
            icon="retry"
            label={`${setting.label}: back to the default`}
            onClick={reset}
          />
        )}
      </div>
      <Input {...props} id={id} />
      <p id={`${id}-about`} class={error ? "field-error" : "field-hint"}>
        {error ?? (
          <>
            {isSwept ? "Values with commas between them: a job for each. " : about(setting)}
            {facts && <span class="setting-facts">{facts}</span>}
          </>
        )}
      </p>
    </div>
  );
}

const about = (setting: Setting): string => (setting.about ? `${setting.about}. ` : "");

function usual(setting: Setting): string {
  if (setting.default == null) return setting.isRequired ? "must be given" : "";
  return `default ${textOf(setting, setting.default)}`;
}

interface Shared {
  id: string;
  "aria-describedby": string;
  "aria-invalid": "true" | undefined;
}

function Input(props: SettingProps & { id: string }): JSX.Element {
  const { setting, id, value, sweep } = props;
  const shared: Shared = {
    id,
    "aria-describedby": `${id}-about`,
    "aria-invalid": invalid.value.has(props.at) ? "true" : undefined,
  };
  if (sweep !== undefined) return <Typed {...props} shared={shared} />;
  if (setting.type === "boolean") {
    return (
      <span class="setting-check">
        <input
          {...shared}
          type="checkbox"
          checked={(value ?? setting.default) === true}
          onChange={(event) => props.onValue(event.currentTarget.checked)}
        />
        <span>{(value ?? setting.default) === true ? "on" : "off"}</span>
      </span>
    );
  }
  if (setting.type === "choice") {
    const now = value === undefined ? setting.default : value;
    return (
      <select
        {...shared}
        value={textOf(setting, now)}
        onChange={(event) => {
          const found = parsed(setting, event.currentTarget.value);
          if ("value" in found) props.onValue(found.value);
        }}
      >
        {setting.nullable && <option value="">none</option>}
        {setting.options.map((each) => (
          <option key={String(each)}>{String(each)}</option>
        ))}
      </select>
    );
  }
  return <Typed {...props} shared={shared} />;
}

/** What is typed stays as it is typed; the draft has what it means, once that is valid. */
function Typed(props: SettingProps & { shared: Shared }): JSX.Element {
  const { setting, at, value, sweep, shared } = props;
  const isSwept = sweep !== undefined;
  const read = (text: string): { error: string } | { value: unknown } => {
    if (!isSwept) return parsed(setting, text);
    const found = parsedList(setting, text);
    return "error" in found ? found : { value: found.values };
  };
  const outside = isSwept ? sweep.map((each) => textOf(setting, each)).join(", ") : null;
  const given = outside ?? textOf(setting, value === undefined ? setting.default : value);
  const [text, setText] = useState(given);
  useEffect(() => {
    if (invalid.value.has(at)) return;
    const now = read(text);
    const same = "value" in now && JSON.stringify(now.value) === JSON.stringify(sweep ?? value);
    if (!same) setText(given); // changed elsewhere: undone, reset, or another job
  }, [given, at, isSwept, invalid.value.has(at)]);
  const take = (typed: string) => {
    setText(typed);
    const found = read(typed);
    mark(at, "error" in found ? found.error : null);
    if ("error" in found) return;
    if (isSwept) props.onSweep?.(found.value as unknown[]);
    else props.onValue(found.value);
  };
  return (
    <input
      {...shared}
      type="text"
      inputMode={setting.type === "number" && !isSwept ? "decimal" : "text"}
      autocomplete="off"
      spellcheck={false}
      value={text}
      placeholder={isSwept ? "0.4, 0.6, 0.8" : undefined}
      onInput={(event) => take(event.currentTarget.value)}
    />
  );
}
