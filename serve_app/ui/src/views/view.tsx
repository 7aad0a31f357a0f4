import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function ViewView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="View" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
