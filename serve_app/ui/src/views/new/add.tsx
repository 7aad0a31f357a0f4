// Adding jobs to the draft: which slides, what to find, and on which branch.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { Button, Choice, Field } from "../../parts/basics";
import { Dialog } from "../../parts/dialog";
import { lanes } from "./graph";
import { KINDS, usualSpread, withJobs, type Kind } from "./make";
import { Picker } from "./picker";
import { usable } from "./slides";
import { draft, edit, selected } from "./state";

const NEW = " new";
const EACH = " each"; // no branch begins with a space

export function AddJobs(props: { wanted: string | null; onClose: () => void }): JSX.Element {
  const before = draft.value.jobs[draft.value.jobs.length - 1];
  const first = props.wanted ?? before?.spec.slide ?? null;
  const [picked, setPicked] = useState<readonly string[]>(first ? [first] : []);
  const [kind, setKind] = useState<Kind>("cell_segmentation");
  const [branch, setBranch] = useState<string | null>(null);
  const chosen = usable(picked);
  const usual = usualSpread(chosen.length) === "each" ? EACH : (before?.branch ?? NEW);
  const on = branch ?? usual;
  const add = () => {
    const known = on === NEW || on === EACH ? undefined : on;
    const next = withJobs(draft.value, chosen, kind, on === EACH ? "each" : "one", known);
    edit(next, chosen.length === 1 ? "A job is added" : `${chosen.length} jobs are added`);
    const fresh = next.jobs.filter((job) => job.spec.slide === chosen[0]?.id);
    selected.value = fresh[fresh.length - 1]?.id ?? selected.value;
    props.onClose();
  };
  return (
    <Dialog
      wide
      title="Add jobs"
      onClose={props.onClose}
      actions={
        <>
          <Button onClick={props.onClose}>Leave it</Button>
          <Button
            kind="primary"
            disabled={!chosen.length || chosen.some((slide) => slide.state !== "ready")}
            onClick={add}
          >
            {chosen.length > 1 ? `Add ${chosen.length} jobs` : "Add the job"}
          </Button>
        </>
      }
    >
      <div class="row add-options">
        <div class="field">
          <span class="field-label">Finds</span>
          <Choice label="What the jobs find" options={KINDS} value={kind} onChange={setKind} />
        </div>
        <Field label="Branch">
          {(ids) => (
            <select {...ids} value={on} onChange={(event) => setBranch(event.currentTarget.value)}>
              {lanes(draft.value).map((lane) => (
                <option key={lane.branch} value={lane.branch}>
                  {lane.branch}, at its end
                </option>
              ))}
              <option value={NEW}>a new one</option>
              {chosen.length > 1 && <option value={EACH}>a new one for each slide</option>}
            </select>
          )}
        </Field>
      </div>
      <Picker picked={picked} onPick={setPicked} />
    </Dialog>
  );
}
