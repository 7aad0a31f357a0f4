import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function MetricsView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Metrics" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
