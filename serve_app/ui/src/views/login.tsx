import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { asApiError, type ApiError } from "../api/http";
import { Button, Failure, Field } from "../parts/basics";
import { Brand } from "../parts/brand";
import { logIn } from "../session";

/** Asks for a key, which begins a session; the key is not kept. */
export function Login(): JSX.Element {
  const [key, setKey] = useState("");
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await logIn(key);
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  };
  return (
    <main class="login" id="main">
      <form class="card login-card" onSubmit={(event) => void submit(event)}>
        <Brand />
        <h1>Log in</h1>
        <p class="muted">Segment every cell of your slides, together on one cluster.</p>
        {/* Password managers keep a key under a name. */}
        <input
          class="unseen"
          name="username"
          autocomplete="username"
          tabIndex={-1}
          aria-hidden="true"
        />
        <Field
          label="Your key"
          hint={
            <>
              Begins with <code>rsk_</code>. Your administrator makes one:{" "}
              <code>raysched user key NAME</code>.
            </>
          }
        >
          {(ids) => (
            <input
              {...ids}
              type="password"
              autocomplete="current-password"
              required
              value={key}
              onInput={(event) => setKey(event.currentTarget.value)}
            />
          )}
        </Field>
        {error && <Failure error={error} />}
        <Button type="submit" kind="primary" disabled={busy || !key.trim()}>
          {busy ? "Logging in" : "Log in"}
        </Button>
      </form>
    </main>
  );
}
