import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function ResultsView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Results" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
