// One user: name and limits, keys, and the ways to shut out.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { User } from "../../api/types";
import { count, time } from "../../format";
import { Button, Choice, Failure, Field } from "../../parts/basics";
import { Dialog, say, tried } from "../../parts/dialog";
import { KeyList } from "../../parts/keys";
import { me } from "../../session";

const GB = 1e9;

interface Props {
  user: User;
  onChanged: () => void;
  onClose: () => void;
}

export function UserDialog(props: Props): JSX.Element {
  const { user, onClose } = props;
  const [part, setPart] = useState<"limits" | "keys" | "out">("limits");
  return (
    <Dialog title={user.name} wide onClose={onClose}>
      <div class="row apart">
        <p class="muted">
          {user.id} · {user.role} · since {time(user.created_at)}
          {user.disabled_at && ` · disabled ${time(user.disabled_at)}`}
        </p>
        <Choice
          label="What to look after"
          options={[
            ["limits", "Name and limits"],
            ["keys", `Keys`],
            ["out", "Disable, delete"],
          ]}
          value={part}
          onChange={setPart}
        />
      </div>
      <div class="users-part">
        {part === "limits" && <Limits {...props} />}
        {part === "keys" && <KeyList path={`/users/${user.id}/keys`} most={user.role} />}
        {part === "out" && <Out {...props} />}
      </div>
    </Dialog>
  );
}

const changed = (user: User, json: object) => ask(`/users/${user.id}`, { method: "PATCH", json });

const AMOUNTS = [
  ["weight", "Weight", "2 gets twice the share of 1 when the cluster is full.", 0.01, 100, "any"],
  ["jobs", "Unfinished jobs, at most", "0: as everybody.", 0, 1_000_000, "1"],
  ["room", "Storage for slides, GB", "0: as everybody.", 0, 1_000_000, "any"],
] as const;

const amountsOf = (user: User) => ({
  weight: String(user.weight),
  jobs: String(user.max_jobs),
  room: String(user.max_bytes / GB),
});

function Limits({ user, onChanged, onClose }: Props): JSX.Element {
  const [name, setName] = useState(user.name);
  const [amounts, setAmounts] = useState(() => amountsOf(user));
  const [error, setError] = useState<ApiError | null>(null);
  const keep = async (event: Event) => {
    event.preventDefault();
    setError(null);
    try {
      await changed(user, {
        name: name.trim(),
        weight: Number(amounts.weight),
        max_jobs: Number(amounts.jobs),
        max_bytes: Math.round(Number(amounts.room) * GB),
      });
      say(`${name.trim()} is changed.`);
      onChanged();
      onClose();
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  };
  return (
    <form class="stack" onSubmit={(event) => void keep(event)}>
      <div class="users-fields">
        <Field label="Name" hint={`The id ${user.id} stays.`}>
          {(ids) => (
            <input
              {...ids}
              required
              maxLength={100}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        {AMOUNTS.map(([name, label, hint, least, most, step]) => (
          <Amount
            key={name}
            label={label}
            hint={hint}
            range={[least, most]}
            step={step}
            value={amounts[name]}
            onChange={(value) => setAmounts({ ...amounts, [name]: value })}
          />
        ))}
      </div>
      {error && <Failure error={error} />}
      <div class="row end">
        <Button onClick={onClose}>Leave it</Button>
        <Button type="submit" kind="primary">
          Keep the changes
        </Button>
      </div>
    </form>
  );
}

function Amount(props: {
  label: string;
  hint: string;
  range: [number, number];
  step: string;
  value: string;
  onChange: (value: string) => void;
}): JSX.Element {
  return (
    <Field label={props.label} hint={props.hint}>
      {(ids) => (
        <input
          {...ids}
          type="number"
          required
          min={props.range[0]}
          max={props.range[1]}
          step={props.step}
          value={props.value}
          onInput={(event) => props.onChange(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

function Disable({ user, onAsked }: { user: User; onAsked: () => void }): JSX.Element {
  const isOff = user.disabled_at !== null;
  return (
    <section class="stack tight" aria-labelledby="disable-user">
      <h3 id="disable-user">{isOff ? "Enable" : "Disable"}</h3>
      <p class="small muted">
        {isOff
          ? "The keys work again, and waiting jobs begin."
          : "No key opens anything. Jobs that have begun go on; nothing else begins until the user is enabled again."}
      </p>
      <div>
        <Button onClick={onAsked}>
          {isOff ? "Enable" : "Disable"} {user.name}
        </Button>
      </div>
    </section>
  );
}

function Out({ user, onChanged, onClose }: Props): JSX.Element {
  const [typed, setTyped] = useState("");
  if (user.id === me.value?.id) {
    return <p class="muted">You cannot shut yourself out: another administrator can.</p>;
  }
  const jobs =
    user.jobs_open === 1 ? "the unfinished job" : `${count(user.jobs_open)} unfinished jobs`;
  const act = async (text: string, work: () => Promise<unknown>) => {
    if (!(await tried(work))) return;
    say(text);
    onChanged();
    onClose();
  };
  const isOff = user.disabled_at !== null;
  const disable = () =>
    act(`${user.name} is ${isOff ? "enabled" : "disabled"}.`, () =>
      changed(user, { disabled: !isOff }),
    );
  const remove = (event: Event) => {
    event.preventDefault();
    void act(`${user.name} is deleted.`, () => ask(`/users/${user.id}`, { method: "DELETE" }));
  };
  return (
    <div class="users-out">
      <Disable user={user} onAsked={() => void disable()} />
      <form class="stack tight" aria-labelledby="delete-user" onSubmit={remove}>
        <h3 id="delete-user">Delete, for ever</h3>
        <p class="small muted">
          Cancels {user.jobs_open ? jobs : "what is unfinished"}, ends all keys. Results stay on the
          server's disk; the id is not given out again.
        </p>
        <Field label={`Type ${user.id} to confirm`}>
          {(ids) => (
            <input
              {...ids}
              autocomplete="off"
              autocapitalize="none"
              spellcheck={false}
              value={typed}
              onInput={(event) => setTyped(event.currentTarget.value)}
            />
          )}
        </Field>
        <div>
          <Button type="submit" kind="danger" icon="trash" disabled={typed !== user.id}>
            Delete {user.name}
          </Button>
        </div>
      </form>
    </div>
  );
}
