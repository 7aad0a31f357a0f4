import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function QueueView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Queue" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
