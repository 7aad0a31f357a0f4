import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function ReviewView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Review" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
