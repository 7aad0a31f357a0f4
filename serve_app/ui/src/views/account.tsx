import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function AccountView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Account" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
