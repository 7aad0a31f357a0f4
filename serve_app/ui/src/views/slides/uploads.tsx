// The files that are on their way, and those whose upload was begun and left.
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Upload } from "../../api/types";
import { bytes, duration, percent, time } from "../../format";
import { Button, Progress } from "../../parts/basics";
import { confirmed, tried } from "../../parts/dialog";
import { Icon } from "../../parts/icons";
import * as sending from "./sending";
import type { Sending } from "./sending";
import "./uploads.css";

export function Uploads(): JSX.Element | null {
  const now = sending.sendings.value;
  const left = sending.left.value;
  if (now.length + left.length === 0) return null;
  return (
    <section class="card uploads" aria-label="Uploads">
      {now.map((each) => (
        <OnItsWay key={each.number} of={each} />
      ))}
      {left.map((each) => (
        <Left key={each.id} of={each} />
      ))}
    </section>
  );
}

function saidOf(of: Sending): string {
  const amount = `${bytes(of.sent)} of ${bytes(of.size)}`;
  if (of.state === "waiting") return `${bytes(of.size)}, waits for its turn`;
  if (of.state === "lost") return `${amount}: the connection is lost, it goes on by itself`;
  if (of.state === "paused") return `${amount}, paused`;
  if (of.state === "arrived") return `${bytes(of.size)}, all of it is there`;
  if (!of.rate) return amount;
  const rest = (of.size - of.sent) / of.rate;
  return `${amount}, ${bytes(Math.round(of.rate))}/s, ${duration(Math.max(rest, 1))} left`;
}

/** What the file itself is at fault for: trying again changes nothing. */
const NEVER = [400, 415, 422];

function OnItsWay({ of }: { of: Sending }): JSX.Element {
  const share = of.size > 0 ? of.sent / of.size : 1;
  const isRefused = of.state === "refused";
  return (
    <article class={`upload ${of.state}`}>
      <div class="upload-text">
        <strong class="truncate" title={of.name}>
          {of.name}
        </strong>
        {of.error ? (
          <div role="alert">
            <p class="upload-why">{of.error.message}</p>
            <p class="small">{of.error.remedy}</p>
          </div>
        ) : (
          <span class="small muted">{saidOf(of)}</span>
        )}
      </div>
      {!isRefused && <span class="upload-share">{percent(share)}</span>}
      <div class="row upload-actions">
        {(of.state === "sending" || of.state === "lost" || of.state === "waiting") && (
          <Button
            icon="pause"
            kind="quiet"
            label={`Pause ${of.name}`}
            onClick={() => sending.pause(of.number)}
          />
        )}
        {of.state === "paused" && (
          <Button
            icon="play"
            kind="quiet"
            label={`Go on with ${of.name}`}
            onClick={() => sending.resume(of.number)}
          />
        )}
        {isRefused && !NEVER.includes(of.error?.status ?? 0) && (
          <Button icon="retry" onClick={() => sending.resume(of.number)}>
            Try again
          </Button>
        )}
        {of.state !== "arrived" && (
          <Button
            icon="close"
            kind="quiet"
            label={isRefused ? `Dismiss ${of.name}` : `Cancel ${of.name}`}
            onClick={() => void cancel(of)}
          />
        )}
      </div>
      {!isRefused && <Progress value={share} label={`Upload of ${of.name}`} />}
    </article>
  );
}

const LARGE_BYTES = 100_000_000;

async function cancel(of: Sending): Promise<void> {
  const isMuch = of.state !== "refused" && of.sent > LARGE_BYTES;
  const text = `${bytes(of.sent)} have arrived and will be deleted. To go on later, pause it.`;
  if (isMuch && !(await confirmed(`Cancel ${of.name}?`, text, "Cancel the upload"))) return;
  await tried(() => sending.cancel(of.number));
}

function Left({ of }: { of: Upload }): JSX.Element {
  const chooser = useRef<HTMLInputElement>(null);
  const chosen = (event: Event) => {
    const input = event.currentTarget as HTMLInputElement;
    const file = input.files?.[0];
    input.value = "";
    if (file) void tried(() => sending.goOn(of, file));
  };
  const until = of.expires_at ? `, kept until ${time(of.expires_at)}` : "";
  const share = of.size_bytes > 0 ? of.offset / of.size_bytes : 0;
  return (
    <article class="upload left">
      <div class="upload-text">
        <strong class="truncate" title={of.name}>
          {of.name}
        </strong>
        <span class="small muted">
          Begun {time(of.created_at)} and not finished: {bytes(of.offset)} of {bytes(of.size_bytes)}
          {until}
        </span>
      </div>
      <span class="upload-share">{percent(share)}</span>
      <div class="row upload-actions">
        <input
          ref={chooser}
          type="file"
          class="unseen"
          tabIndex={-1}
          aria-hidden="true"
          onChange={chosen}
        />
        <Button icon="folder" onClick={() => chooser.current?.click()}>
          Choose the same file to go on
        </Button>
        <Button kind="quiet" onClick={() => void discard(of)}>
          Discard
        </Button>
      </div>
      <Progress value={share} label={`Unfinished upload of ${of.name}`} />
    </article>
  );
}

async function discard(of: Upload): Promise<void> {
  const text = `${bytes(of.offset)} have arrived and will be deleted.`;
  const isMuch = of.offset > LARGE_BYTES;
  if (isMuch && !(await confirmed(`Discard ${of.name}?`, text, "Discard it"))) return;
  await tried(() => sending.discard(of));
}

/** Where files are dropped: all of the view. */
export function DropHere(): JSX.Element {
  return (
    <div class="drop-here" aria-hidden="true">
      <div>
        <Icon name="upload" size={44} />
        <strong>Drop the slides here</strong>
        <span>
          .svs .tif .tiff .ndpi .scn .bif .svslide .czi .dcm, or several files as one .zip
        </span>
      </div>
    </div>
  );
}
