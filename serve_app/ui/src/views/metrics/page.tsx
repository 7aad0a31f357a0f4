// The cluster at a glance: how busy it is, who waits, what each lane does.
import type { JSX } from "preact";
import type { Cluster } from "../../api/types";
import { bytes, count, number, time } from "../../format";
import { Button, Failure, Head, LinkButton, Loading, Notice } from "../../parts/basics";
import { Rows } from "../../parts/charts/bars";
import { useLoad } from "../../parts/load";
import { Figure, Figures } from "../../parts/figures";
import { Hour } from "./hour";
import { useCluster } from "./load";
import { Lanes, Nodes, Users } from "./tables";
import type { Info, Minutes } from "./types";
import { UsageSection } from "./usage";

const BRANCHES_SHOWN = 12;

export function ClusterPage(): JSX.Element {
  const { cluster: seen, minutes, error, isAsking, again } = useCluster();
  return (
    <div class="stack metrics">
      <Title cluster={seen} isAsking={isAsking} onAgain={again} />
      {error && <Failure error={error} onRetry={again} />}
      {!seen && !error && <Loading label="Loading the cluster" rows={6} />}
      {seen && <Gates cluster={seen} />}
      {seen && <Now cluster={seen} minutes={minutes} />}
      {minutes && <Hour minutes={minutes} />}
      {seen && (
        <>
          <Users cluster={seen} />
          <div class="metrics-pair">
            <div class="stack">
              <Branches cluster={seen} />
              <Service cluster={seen} />
            </div>
            <div class="stack">
              <Lanes cluster={seen} />
              <Nodes cluster={seen} />
            </div>
          </div>
        </>
      )}
      <UsageSection />
    </div>
  );
}

interface TitleProps {
  cluster: Cluster | null;
  isAsking: boolean;
  onAgain: () => void;
}

function Title({ cluster, isAsking, onAgain }: TitleProps): JSX.Element {
  return (
    <Head
      title="Metrics"
      about={
        cluster
          ? `raysched ${cluster.scheduler.version}, at work since ${time(
              cluster.scheduler.started_at,
            )} · as of ${clock(cluster.at)}, and anew when the queue changes`
          : "The cluster at a glance."
      }
    >
      <Button icon="retry" onClick={onAgain} disabled={isAsking}>
        Refresh
      </Button>
      <LinkButton href="/metrics" newTab label="/metrics, opens a new tab">
        For Prometheus
      </LinkButton>
      <LinkButton href="/docs" newTab label="/docs, opens a new tab">
        API description
      </LinkButton>
    </Head>
  );
}

const clock = (iso: string): string => new Date(iso).toLocaleTimeString("en-GB");

function Gates({ cluster }: { cluster: Cluster }): JSX.Element | null {
  const { paused_at: paused, draining_at: draining } = cluster.scheduler;
  if (!paused && !draining) return null;
  return (
    <Notice tone="warn">
      {paused && (
        <p>
          <strong>Paused since {time(paused)}:</strong> nothing new starts; what runs goes on.
        </p>
      )}
      {draining && (
        <p>
          <strong>Draining since {time(draining)}:</strong> no new work is taken in.
        </p>
      )}
    </Notice>
  );
}

/** The last minute that is over, if there is one. */
function lastMinute(minutes: Minutes | null) {
  return minutes?.minutes.at(-2) ?? minutes?.minutes.at(-1);
}

function Now({ cluster, minutes }: { cluster: Cluster; minutes: Minutes | null }): JSX.Element {
  const { queue, lanes_open, lanes_busy } = cluster;
  const last = lastMinute(minutes);
  return (
    <Figures label="Now">
      <Figure name="Lanes busy" value={count(lanes_busy)} unit={`of ${count(lanes_open)}`}>
        {count(cluster.nodes_alive)} {cluster.nodes_alive === 1 ? "node" : "nodes"}
      </Figure>
      <Figure
        name="Jobs running"
        value={count(queue.jobs_running)}
        unit={`of ${count(queue.max_running_jobs)}`}
      >
        {count(queue.jobs_open)} unfinished
      </Figure>
      <Figure name="Slots held" value={count(queue.slots_held)} unit={`of ${count(queue.slots)}`}>
        {count(queue.users_waiting)} {queue.users_waiting === 1 ? "user waits" : "users wait"}
      </Figure>
      <Figure name="Tiles" value={number(last?.tiles)} unit="/ min">
        {number(last?.cells)} cells / min
      </Figure>
      <Figure name="Requests" value={number(last?.requests)} unit="/ min">
        {last?.request_median_ms != null && `median ${number(last.request_median_ms, 2)} ms`}
      </Figure>
    </Figures>
  );
}

function Branches({ cluster }: { cluster: Cluster }): JSX.Element {
  const { branches, queue } = cluster;
  const shown = branches.slice(0, BRANCHES_SHOWN);
  const more = queue.branches_open - shown.length;
  return (
    <section class="card stack" aria-labelledby="branches-head">
      <h2 id="branches-head">Branches</h2>
      {shown.length === 0 && <p class="muted">No branch has unfinished jobs.</p>}
      <Rows
        label="Unfinished jobs of each branch"
        rows={shown.map((branch) => ({
          name: branch.branch,
          about: branch.user,
          value: branch.jobs_open,
          text: `${count(branch.jobs_open)} ${branch.jobs_open === 1 ? "job" : "jobs"}`,
        }))}
      />
      {more > 0 && <p class="muted small">and {count(more)} shorter ones</p>}
    </section>
  );
}

function Service({ cluster }: { cluster: Cluster }): JSX.Element {
  const info = useLoad<Info>("/info");
  const { journal, scheduler } = cluster;
  return (
    <section class="card stack" aria-labelledby="service-head">
      <h2 id="service-head">Service</h2>
      <dl class="facts">
        <dt>Journal</dt>
        <dd>
          {bytes(journal.size_bytes)}, {count(journal.events)} events
        </dd>
        <dt>Life of the scheduler</dt>
        <dd>
          number {count(journal.epoch)}, since {time(scheduler.started_at)}
        </dd>
        <dt>New work</dt>
        <dd>
          {scheduler.draining_at ? "not taken in" : "taken in"},{" "}
          {scheduler.paused_at ? "not started" : "started"}
        </dd>
        <dt>Ray dashboard</dt>
        <dd>
          {info.data?.dashboard_url ? (
            <>
              <a href={info.data.dashboard_url} target="_blank" rel="noreferrer">
                {info.data.dashboard_url}
              </a>
              <p class="muted small">
                It asks for a token: the text of <code>~/.ray/auth_token</code> of the account that
                runs the service, on the head's machine. An address of 127.0.0.1 opens there only;
                elsewhere, <code>ssh -L 8265:127.0.0.1:8265 HEAD</code> brings it here.
              </p>
            </>
          ) : info.error ? (
            <span class="muted">{info.error.message}</span>
          ) : (
            <span class="muted">{info.data ? "none runs" : "…"}</span>
          )}
        </dd>
      </dl>
    </section>
  );
}
