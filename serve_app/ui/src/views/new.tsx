import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function NewView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="New" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
