// Keys of a user, of oneself or for administrators: list, make, revoke. A new one is shown once.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../api/http";
import type { Key, Keys, NewKey, Role } from "../api/types";
import { time } from "../format";
import { Button, Failure, Field, Loading, Notice } from "./basics";
import { Copyable } from "./copy";
import { confirmed, Dialog, say, tried } from "./dialog";
import { mayChange } from "../session";
import { useLoad } from "./load";
import "./keys.css";

const SHOWN = 8;
export const ROLES: readonly Role[] = ["read-only", "user", "admin"];
export const ROLE_TEXTS: Record<Role, string> = {
  "read-only": "may look",
  user: "may also change what is its own",
  admin: "may also look after users",
};

/** A new key, this once. It goes when the dialog is closed. */
export function KeyShown({ made, onClose }: { made: NewKey; onClose: () => void }): JSX.Element {
  return (
    <Dialog
      title={`The key of ${made.user}`}
      onClose={onClose}
      actions={<Button onClick={onClose}>I have kept it</Button>}
    >
      <Copyable text={made.key} label="the key" big />
      <Notice tone="warn">
        <strong>It is not shown again.</strong>
        <p>
          Copy it now and hand it over safely: with it one logs in here, and programs use it.
          Whoever loses it gets another.
        </p>
      </Notice>
    </Dialog>
  );
}

interface MakeProps {
  path: string;
  /** No key may do more than this. */
  most: Role;
  onMade: (made: NewKey) => void;
  onClose: () => void;
}

/** Asks for the name of a new key, how long it lives and what it may do. */
export function MakeKey({ path, most, onMade, onClose }: MakeProps): JSX.Element {
  const [name, setName] = useState("");
  const [days, setDays] = useState("");
  const [role, setRole] = useState<Role>(most);
  const [error, setError] = useState<ApiError | null>(null);
  const make = async (event: Event) => {
    event.preventDefault();
    setError(null);
    const json = { name: name.trim(), role, days: days ? Number(days) : null };
    try {
      onMade(await ask<NewKey>(path, { method: "POST", json }));
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  };
  return (
    <Dialog title="Make a key" onClose={onClose}>
      <form class="stack" onSubmit={(event) => void make(event)}>
        <Field label="Name" hint="What or where it is for, such as: laptop, script on the scanner.">
          {(ids) => (
            <input
              {...ids}
              required
              autofocus
              maxLength={100}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="Days until it ends" hint="Empty: it works until it is revoked.">
          {(ids) => (
            <input
              {...ids}
              type="number"
              min="0.1"
              max="36500"
              step="any"
              value={days}
              onInput={(event) => setDays(event.currentTarget.value)}
            />
          )}
        </Field>
        <RoleField most={most} value={role} onChange={setRole} />
        {error && <Failure error={error} />}
        <div class="row end">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" kind="primary">
            Make the key
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

export function RoleField(props: {
  value: Role;
  onChange: (role: Role) => void;
  most?: Role;
}): JSX.Element {
  const offered = ROLES.slice(0, ROLES.indexOf(props.most ?? "admin") + 1);
  return (
    <Field label="Role" hint={`It ${ROLE_TEXTS[props.value]}.`}>
      {(ids) => (
        <select
          {...ids}
          value={props.value}
          onChange={(event) => props.onChange(event.currentTarget.value as Role)}
        >
          {offered.map((role) => (
            <option key={role}>{role}</option>
          ))}
        </select>
      )}
    </Field>
  );
}

/** `path`: of the keys in the API. `current`: the key or session in use. */
export function KeyList(props: { path: string; most: Role; current?: string }): JSX.Element {
  const { path, most, current } = props;
  const { data, error, again } = useLoad<Keys>(path);
  const [asking, setAsking] = useState(false);
  const [made, setMade] = useState<NewKey | null>(null);
  const [withOld, setWithOld] = useState(false);
  const [isLong, setLong] = useState(false);
  if (error) return <Failure error={error} onRetry={again} />;
  if (!data) return <Loading rows={3} label="Loading the keys" />;
  const rank = (key: Key) => (key.id === current ? 0 : key.kind === "api" ? 1 : 2);
  const all = (data.keys as Key[])
    .filter((key) => withOld || !ended(key))
    .reverse()
    .sort((a, b) => rank(a) - rank(b));
  const shown = isLong ? all : all.slice(0, SHOWN);
  const old = data.keys.filter(ended).length;
  const revoke = async (key: Key) => {
    if (await revoked(path, key, key.id === current)) again();
  };
  return (
    <div class="stack tight">
      <KeyTable keys={shown} current={current} onRevoke={(key) => void revoke(key)} />
      <div class="row apart">
        {mayChange.value ? (
          <Button icon="key" onClick={() => setAsking(true)}>
            Make a key
          </Button>
        ) : (
          <span class="small muted">A key that may only look makes and ends none.</span>
        )}
        {all.length > shown.length && (
          <Button kind="quiet" onClick={() => setLong(true)}>
            Show all {all.length}
          </Button>
        )}
        {old > 0 && <AlsoEnded many={old} checked={withOld} onChange={setWithOld} />}
      </div>
      {asking && (
        <MakeKey
          path={path}
          most={most}
          onClose={() => setAsking(false)}
          onMade={(key) => {
            setAsking(false);
            setMade(key);
            again();
          }}
        />
      )}
      {made && <KeyShown made={made} onClose={() => setMade(null)} />}
    </div>
  );
}

function AlsoEnded(props: {
  many: number;
  checked: boolean;
  onChange: (checked: boolean) => void;
}): JSX.Element {
  return (
    <label class="row small">
      <input
        type="checkbox"
        checked={props.checked}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      Also {props.many} that {props.many === 1 ? "has" : "have"} ended
    </label>
  );
}

const ended = (key: { revoked_at: string | null; expires_at: string | null }): boolean =>
  key.revoked_at !== null || (key.expires_at !== null && new Date(key.expires_at) < new Date());

async function revoked(path: string, key: Key, isCurrent: boolean): Promise<boolean> {
  const what = key.kind === "session" ? "session" : "key";
  const text = isCurrent
    ? "You are using it now: you will have to log in again."
    : `It stops working at once${what === "key" ? ", with the sessions that it began" : ""}.`;
  if (!(await confirmed(`End the ${what} ${key.name}?`, text, `End the ${what}`))) return false;
  const done = await tried(() => ask(`${path}/${key.id}`, { method: "DELETE" }));
  if (done) say(`The ${what} ${key.name} has ended.`);
  return done;
}

interface TableProps {
  keys: readonly Key[];
  current: string | undefined;
  onRevoke: (key: Key) => void;
}

function KeyTable({ keys, current, onRevoke }: TableProps): JSX.Element {
  if (keys.length === 0) return <p class="muted keys-none">No key opens anything at present.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table of keys">
      <table class="table keys">
        <thead>
          <tr>
            <th>Key</th>
            <th>Role</th>
            <th>Made</th>
            <th>Last used</th>
            <th>Ends</th>
            <th>
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {keys.map((key) => (
            <tr key={key.id}>
              <td>
                <strong>{key.kind === "session" ? `Session by ${key.name}` : key.name}</strong>{" "}
                {key.id === current && <span class="state good">in use here</span>}
                <br />
                <code class="muted">{key.id}</code>
              </td>
              <td>{key.role}</td>
              <td>{time(key.made_at)}</td>
              <td>{key.used_at ? time(key.used_at) : "never"}</td>
              <td>{endOf(key)}</td>
              <td class="number">
                {mayChange.value && !ended(key) && (
                  <Button
                    icon="trash"
                    kind="quiet"
                    label={`End ${key.name}`}
                    onClick={() => onRevoke(key)}
                  />
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function endOf(key: Key): JSX.Element | string {
  if (key.revoked_at) return <span class="muted">revoked {time(key.revoked_at)}</span>;
  return key.expires_at ? time(key.expires_at) : "when revoked";
}
