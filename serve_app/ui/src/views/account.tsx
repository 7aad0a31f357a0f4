// Oneself: who one is here, the room for slides, what was used, and one's keys.
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import { url } from "../api/http";
import type { Me, UsageDay, UsageReport } from "../api/types";
import { bytes, count, duration, percent } from "../format";
import { Bars } from "../parts/bars";
import { Failure, Head, LinkButton, Loading, Notice, Progress } from "../parts/basics";
import { KeyList, ROLE_TEXTS } from "../parts/keys";
import { useLoad } from "../parts/load";
import { link } from "../router";
import { me, refreshMe } from "../session";
import type { ViewProps } from ".";
import "./account/account.css";

const NEARLY = 0.9;
const DAYS = 30;
const DAY_MS = 86_400_000;

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
          {percent(share, share < 0.1 ? 1 : 0)} used, {bytes(free)} free
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

function Usage(): JSX.Element {
  const { data, error, again } = useLoad<UsageReport>("/me/usage");
  return (
    <section class="card account-wide stack tight" aria-labelledby="usage">
      <div class="row apart">
        <h2 id="usage">The last {DAYS} days</h2>
        <LinkButton href={url("/me/usage", { format: "csv" })} icon="download" download>
          As CSV
        </LinkButton>
      </div>
      {error && <Failure error={error} onRetry={again} />}
      {!data && !error && <Loading rows={4} label="Loading the usage" />}
      {data && <UsageShown report={data} />}
    </section>
  );
}

const OF_DAY = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  timeZone: "UTC",
});

function UsageShown({ report }: { report: UsageReport }): JSX.Element {
  const used = report.days as UsageDay[];
  const byDay = new Map(used.map((day) => [day.day, day]));
  const first = Date.parse(report.since);
  const days = Math.round((Date.parse(report.until) - first) / DAY_MS) + 1;
  const bars = Array.from({ length: days }, (_, index) => {
    const at = new Date(first + index * DAY_MS);
    const day = byDay.get(at.toISOString().slice(0, 10));
    const label = OF_DAY.format(at);
    const seconds = day?.lane_s ?? 0;
    const jobs = day ? day.succeeded + day.failed + day.cancelled : 0;
    const text = day
      ? `${label}: ${duration(seconds)} computed, ${count(jobs)} jobs ended, ` +
        `${count(day.cells)} cells`
      : `${label}: nothing`;
    return { label, value: seconds / 60, text };
  });
  const sum = (name: "succeeded" | "failed" | "cells" | "lane_s" | "reused") =>
    used.reduce((all, day) => all + day[name], 0);
  return (
    <>
      <dl class="account-sums">
        <Sum name="Jobs succeeded" value={count(sum("succeeded"))} />
        <Sum name="Failed" value={count(sum("failed"))} />
        <Sum name="Taken from equal jobs" value={count(sum("reused"))} />
        <Sum name="Cells" value={count(sum("cells"))} />
        <Sum name="Computed" value={duration(sum("lane_s"))} />
      </dl>
      <Bars bars={bars} title="Minutes of computing a day (UTC)" every={5} />
    </>
  );
}

function Sum({ name, value }: { name: string; value: string }): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
