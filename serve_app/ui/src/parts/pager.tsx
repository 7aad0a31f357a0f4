import type { JSX } from "preact";
import { count } from "../format";
import { Button } from "./basics";
import "./more.css";

/** Under a list that comes page by page: how many are shown, and a way to the next ones. */
export function Pager(props: {
  shown: number;
  of: string;
  hasMore: boolean;
  busy: boolean;
  onMore: () => void;
}): JSX.Element {
  return (
    <div class="pager" role="status">
      <span class="muted small">
        {count(props.shown)} {props.of}
        {props.hasMore ? ", there are more" : ""}
      </span>
      {props.hasMore && (
        <Button onClick={props.onMore} disabled={props.busy}>
          {props.busy ? "Loading" : "Show more"}
        </Button>
      )}
    </div>
  );
}
