import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { ask, asApiError, type ApiError } from "../../api/http";
import type { NewKey, Role, User } from "../../api/types";
import { Button, Failure, Field } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { RoleField } from "../../parts/keys";

const ID = "[a-z0-9][a-z0-9._\\-]{0,31}";
const isId = (text: string) => new RegExp(`^${ID}$`).test(text);

interface Props {
  onMade: (key: NewKey) => void;
  onClose: () => void;
}

/** Takes a user in and makes the first key at once. */
export function NewUserDialog({ onMade, onClose }: Props): JSX.Element {
  const [id, setId] = useState("");
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("user");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  // The same for each try, so that a user whose key was not made is not taken for another's.
  const [tag] = useState(() => `ui-${Date.now()}-${Math.random().toString(36).slice(2)}`);
  const make = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const headers = { "Idempotency-Key": tag };
      const json = { id, name: name.trim() || null, role };
      await ask<User>("/users", { method: "POST", json, headers });
      const asked = { method: "POST", json: { name: "first key" } };
      onMade(await ask<NewKey>(`/users/${id}/keys`, asked));
    } catch (thrown) {
      setError(asApiError(thrown));
      setBusy(false);
    }
  };
  return (
    <Dialog title="New user" onClose={onClose}>
      <form class="stack" onSubmit={(event) => void make(event)}>
        <IdField value={id} onChange={setId} />
        <Field label="Name" hint="As people say it. Empty: the id.">
          {(ids) => (
            <input
              {...ids}
              maxLength={100}
              autocomplete="off"
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <RoleField value={role} onChange={setRole} />
        {error && <Failure error={error} />}
        <div class="row end">
          <Button onClick={onClose}>Not now</Button>
          <Button type="submit" kind="primary" disabled={busy || !isId(id)}>
            Make the user and a key
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

interface IdProps {
  value: string;
  onChange: (id: string) => void;
}

function IdField({ value, onChange }: IdProps): JSX.Element {
  const idFault =
    value && !isId(value)
      ? "Small letters and digits, then also . _ - ; up to 32 characters."
      : null;
  return (
    <Field
      label="Id"
      error={idFault}
      hint="For ever: small letters, digits, . _ - ; up to 32. The name can change."
    >
      {(ids) => (
        <input
          {...ids}
          required
          autofocus
          pattern={ID}
          maxLength={32}
          autocomplete="off"
          autocapitalize="none"
          spellcheck={false}
          aria-invalid={idFault !== null}
          value={value}
          onInput={(event) => onChange(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}
