import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function SlidesView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Slides" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
