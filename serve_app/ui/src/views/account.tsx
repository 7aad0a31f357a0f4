// Oneself: who one is here, the room for slides, what was used, and one's keys.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import type { Me } from "../api/types";
import { bytes, count, percent } from "../format";
import { Head, Loading, Notice, Progress } from "../parts/basics";
import { KeyList, ROLE_TEXTS } from "../parts/keys";
import { link } from "../router";
import { me, refreshMe } from "../session";
import type { ViewProps } from ".";
import "./account/account.css";
import { Usage } from "./account/usage";

const NEARLY = 0.9;

export function AccountView(_props: ViewProps): JSX.Element {
  const who = me.value;
  useEffect(() => void refreshMe().catch(() => {}), []); // what is shown stays as it was
  if (!who) return <Loading rows={4} />;
  return (
    <>
      <Head title="Your keys and storage" />
      <div class="account">
        <Who who={who} />
        <Room who={who} />
        <Usage />
        <section class="card account-wide stack tight" aria-labelledby="your-keys">
          <h2 id="your-keys">Keys and sessions</h2>
          <p class="muted small">
            A key is how a program, or you at another place, gets in. A session is a browser that
            logged in by a key.
          </p>
          <KeyList path="/me/keys" most={who.role} current={who.key} />
        </section>
      </div>
    </>
  );
}

function Who({ who }: { who: Me }): JSX.Element {
  return (
    <section class="card stack tight" aria-labelledby="who">
      <h2 id="who">{who.name}</h2>
      <dl class="facts">
        <dt>Id</dt>
        <dd>{who.id}</dd>
        <dt>Role</dt>
        <dd>
          {who.role} <span class="muted">({ROLE_TEXTS[who.role]})</span>
        </dd>
        <dt>Unfinished jobs</dt>
        <dd>{who.max_jobs > 0 ? `up to ${count(who.max_jobs)} at a time` : "any number"}</dd>
        {who.acts_for !== who.id && (
          <>
            <dt>Acts for</dt>
            <dd>{who.acts_for}</dd>
          </>
        )}
      </dl>
    </section>
  );
}

function Room({ who }: { who: Me }): JSX.Element {
  const share = who.max_bytes > 0 ? who.used_bytes / who.max_bytes : null;
  const free = Math.max(who.max_bytes - who.used_bytes, 0);
  return (
    <section class="card stack tight" aria-labelledby="room">
      <h2 id="room">Storage</h2>
      <p>
        <strong class="account-figure">{bytes(who.used_bytes)}</strong>{" "}
        <span class="muted">
          {share === null ? "used, without a limit" : `of ${bytes(who.max_bytes)}`}
        </span>
      </p>
      {share !== null && <Progress value={share} label="Storage used" />}
      {share !== null && (
        <p class="small muted">
          {share > 0 && share < 0.001 ? "less than 0.1 %" : percent(share, share < 0.1 ? 1 : 0)}{" "}
          used, {bytes(free)} free
        </p>
      )}
      {share !== null && share > NEARLY && (
        <Notice tone="warn">
          Nearly full:{" "}
          <a href={link(["slides"], { sort: "largest" })}>look at the largest slides</a>.
        </Notice>
      )}
      <p class="small muted">
        Uploaded slides and unfinished uploads count; slides on the server and results do not.
      </p>
    </section>
  );
}
