// Users, lanes and nodes.
import type { ComponentChildren, JSX } from "preact";
import type { Cluster } from "../../api/types";
import { bytes, clock, count, number, percent, time } from "../../format";

interface Props {
  cluster: Cluster;
}

interface SheetProps {
  id: string;
  title: string;
  head: readonly (readonly [string, boolean?])[];
  empty: string;
  isEmpty: boolean;
  children: ComponentChildren;
}

function Sheet({ id, title, head, empty, isEmpty, children }: SheetProps): JSX.Element {
  return (
    <section class="card stack" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {isEmpty ? (
        <p class="muted">{empty}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label={`${title}, table`}>
          <table class="table">
            <thead>
              <tr>
                {head.map(([text, isNumber]) => (
                  <th key={text} scope="col" class={isNumber ? "number" : ""}>
                    {text}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>{children}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

export function Users({ cluster }: Props): JSX.Element {
  const { users, queue } = cluster;
  const more = queue.users_busy - users.length;
  return (
    <Sheet
      id="users-head"
      title={`Users with unfinished jobs${more > 0 ? ` (${count(more)} more)` : ""}`}
      head={[
        ["User"],
        ["Slot"],
        ["Running", true],
        ["Unfinished", true],
        ["Lanes", true],
        ["Weight", true],
        ["Share of lanes: fair, and used now"],
      ]}
      isEmpty={users.length === 0}
      empty="Nobody has unfinished jobs."
    >
      {users.map((each) => (
        <tr key={each.user}>
          <td>{each.user}</td>
          <td>
            <Slot user={each} />
          </td>
          <td class="number">{count(each.jobs_running)}</td>
          <td class="number">{count(each.jobs_open)}</td>
          <td class="number">{count(each.lanes)}</td>
          <td class="number">{number(each.weight)}</td>
          <td>
            <span class="share">
              <span class="share-bar" aria-hidden="true">
                <span style={{ inlineSize: `${each.share_used * 100}%` }} />
                <i style={{ insetInlineStart: `${each.share * 100}%` }} />
              </span>
              <span class="small">
                {percent(each.share)}, {percent(each.share_used)}
              </span>
            </span>
          </td>
        </tr>
      ))}
    </Sheet>
  );
}

function Slot({ user }: { user: Cluster["users"][number] }): JSX.Element {
  if (user.slot_since) {
    return (
      <span class={`state ${user.parked ? "ask" : "good"}`}>
        {user.parked ? "parked" : "held"} since {time(user.slot_since)}
      </span>
    );
  }
  return (
    <span class="state idle">
      {user.queue_rank ? `number ${user.queue_rank}` : "none"}
      {user.queued_since && ` since ${time(user.queued_since)}`}
    </span>
  );
}

/** Without its domain; an IP address as it is. */
const shortHost = (host: string): string =>
  /^[\d.]+$/.test(host) ? host : (host.split(".")[0] ?? host);

export function Lanes({ cluster }: Props): JSX.Element {
  const { lanes, lanes_open } = cluster;
  const hosts = new Map(cluster.nodes.map((node) => [node.id, node.host]));
  return (
    <Sheet
      id="lanes-head"
      title={lanes.length < lanes_open ? `Lanes (${lanes.length} of ${lanes_open})` : "Lanes"}
      head={[["Lane"], ["Node"], ["At work on"], ["Since"]]}
      isEmpty={lanes.length === 0}
      empty="No lane is open: nothing can be computed. Look at the nodes, and at the service's log."
    >
      {lanes.map(({ id, node, work }) => (
        <tr key={id}>
          <td class="mono">{id.replace(/^raysched-/, "")}</td>
          <td title={hosts.get(node)}>{shortHost(hosts.get(node) ?? node)}</td>
          <td>
            {work ? (
              <>
                {work.stage}
                {work.stage === "segment" && ` chunk ${work.chunk}`}{" "}
                <span class="muted">
                  of <span class="mono">{work.job}</span>, {work.user}
                </span>
              </>
            ) : (
              <span class="state idle">idle</span>
            )}
          </td>
          <td>
            {work && (
              <>
                {clock(work.since)}{" "}
                <span class="muted small">of about {number(work.expected_s, 2)} s</span>
              </>
            )}
          </td>
        </tr>
      ))}
    </Sheet>
  );
}

export function Nodes({ cluster }: Props): JSX.Element {
  const { nodes } = cluster;
  return (
    <Sheet
      id="nodes-head"
      title="Nodes"
      head={[
        ["Node"],
        ["State"],
        ["CPUs", true],
        ["GPUs", true],
        ["Memory", true],
        ["Lanes", true],
      ]}
      isEmpty={nodes.length === 0}
      empty="Ray tells of no node."
    >
      {nodes.map((node) => (
        <tr key={node.id}>
          <td>
            <span title={node.host}>{shortHost(node.host)}</span>{" "}
            <span class="muted mono">{node.id}</span>
            {node.holds_state && <div class="muted small">the scheduler and its state</div>}
            {node.is_draining && <div class="muted small">drained: no new work goes there</div>}
          </td>
          <td>
            <span class={`state ${node.is_alive ? "good" : "bad"}`}>
              {node.is_alive ? "alive" : "gone"}
            </span>
          </td>
          <td class="number">{number(node.cpus)}</td>
          <td class="number">{number(node.gpus)}</td>
          <td class="number">{bytes(node.memory_bytes)}</td>
          <td class="number">
            {count(cluster.lanes.filter((lane) => lane.node === node.id).length)}
          </td>
        </tr>
      ))}
    </Sheet>
  );
}
