// All keys of the viewer.
import type { JSX } from "preact";
import { Dialog } from "../../parts/dialog";
import { KEYS, lettersAct, setLettersAct } from "./keys";

export function HelpDialog({ onClose }: { onClose: () => void }): JSX.Element {
  return (
    <Dialog title="Keys of the viewer" onClose={onClose} wide>
      <dl class="viewer-keys">
        {KEYS.map(([key, text]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
      <label class="row">
        <input
          type="checkbox"
          checked={lettersAct.value}
          onChange={(event) => setLettersAct(event.currentTarget.checked)}
        />
        Letters and digits act while the viewer has the focus
      </label>
      <p class="muted small">
        Drag to pan, turn the wheel or pinch to zoom, click a cell for its numbers. Tab leads from
        the slide to its controls.
      </p>
    </Dialog>
  );
}
