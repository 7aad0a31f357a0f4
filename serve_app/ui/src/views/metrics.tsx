import type { JSX } from "preact";
import { Empty, Head, LinkButton } from "../parts/basics";
import { link } from "../router";
import { isAdmin } from "../session";
import { ClusterPage } from "./metrics/page";
import "./metrics/metrics.css";

export function MetricsView(): JSX.Element {
  if (isAdmin.value) return <ClusterPage />;
  return (
    <>
      <Head title="Metrics" />
      <Empty
        icon="admin"
        title="For administrators"
        action={<LinkButton href={link(["queue"])}>To the queue</LinkButton>}
      >
        The state of the whole cluster is shown to administrators only. How your own jobs stand, and
        how long the queue is, is in the queue.
      </Empty>
    </>
  );
}
