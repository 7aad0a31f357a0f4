import type { JSX } from "preact";
import { Empty, Head } from "../parts/basics";
import type { ViewProps } from ".";

export function UsersView(_props: ViewProps): JSX.Element {
  return (
    <>
      <Head title="Users" />
      <Empty icon="info" title="Being built" />
    </>
  );
}
