// What made a result: enough to make it again.
import type { ComponentChildren, JSX } from "preact";
import { bytes, count, duration, mppSource, number, time, words } from "../../format";
import { Button } from "../../parts/basics";
import { say } from "../../parts/dialog";
import type { Manifest } from "./types";

export function Provenance({ manifest }: { manifest: Manifest }): JSX.Element {
  const { slide, grid } = manifest;
  return (
    <section class="card stack" aria-labelledby="provenance-head">
      <h2 id="provenance-head">How it was made</h2>
      <dl class="facts">
        <Fact name="Slide">{slide.name}</Fact>
        <Fact name="Size">
          {count(slide.width)} × {count(slide.height)} px, {bytes(slide.size_bytes)}, {slide.vendor}
        </Fact>
        <Fact name="Pixel size">
          {number(slide.mpp, 4)} µm <span class="muted">{mppSource(slide.mpp_source)}</span>
        </Fact>
        <Fact name="SHA-256">
          <Digest value={slide.sha256} of="the slide's SHA-256" />
        </Fact>
        {manifest.engine && (
          <Fact name="Engine">
            {manifest.engine} <span class="muted">version {manifest.engine_version}</span>
          </Fact>
        )}
        {manifest.params && (
          <Fact name="Parameters">
            <Values of={manifest.params} />
          </Fact>
        )}
        <Fact name="Tissue">
          <Values of={manifest.tissue} />
        </Fact>
        {manifest.measure && (
          <Fact name="Measuring">
            <Values of={manifest.measure} />
          </Fact>
        )}
        {grid && (
          <Fact name="Grid">
            {grid.columns} × {grid.rows} tiles of {count(grid.tile_px)} px at {number(grid.mpp, 4)}{" "}
            µm, halo {grid.halo_px} px
          </Fact>
        )}
        <Fact name="Made">{time(manifest.created_at)}</Fact>
        {manifest.checksum && (
          <Fact name="Checksum">
            <Digest value={manifest.checksum} of="the checksum of the cells" />
          </Fact>
        )}
      </dl>
      <Timings timings={manifest.timings} reused={manifest.reused ?? []} />
      <details class="versions">
        <summary>Versions of {Object.keys(manifest.versions).length} packages</summary>
        <dl class="facts">
          {Object.entries(manifest.versions).map(([name, version]) => (
            <Fact key={name} name={name}>
              {version}
            </Fact>
          ))}
        </dl>
      </details>
    </section>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }): JSX.Element {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function Values({ of }: { of: Record<string, unknown> }): JSX.Element {
  return (
    <ul class="values">
      {Object.entries(of).map(([name, value]) => (
        <li key={name}>
          <span class="muted">{words(name)}</span>{" "}
          {value === null ? "automatic" : `${text(value)}${unitOf(name)}`}
        </li>
      ))}
    </ul>
  );
}

const text = (value: unknown): string =>
  typeof value === "number" ? number(value, 6) : String(value);

function unitOf(name: string): string {
  if (name.endsWith("_um2")) return " µm²";
  if (name.endsWith("_um")) return " µm";
  return name.endsWith("_px") ? " px" : "";
}

function Digest({ value, of }: { value: string; of: string }): JSX.Element {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(value);
      say(`Copied: ${of}.`);
    } catch {
      say("The browser does not let this page copy.", "bad", `Mark it and copy it: ${value}`);
    }
  };
  return (
    <span class="digest">
      <code title={value}>{value.slice(0, 16)}…</code>
      <Button icon="copy" kind="quiet" label={`Copy ${of}`} onClick={() => void copy()} />
    </span>
  );
}

const STAGES: Record<string, string> = {
  plan_s: "plan",
  segment_s: "segment",
  assemble_s: "assemble",
};

/** Where the lanes' time went. */
function Timings(props: { timings: Record<string, number>; reused: string[] }): JSX.Element {
  const parts = Object.entries(props.timings);
  const all = parts.reduce((sum, [, seconds]) => sum + seconds, 0);
  return (
    <div class="timings">
      <h3>
        Computing <span class="muted">{duration(all)}</span>
      </h3>
      <div class="timings-bar" aria-hidden="true">
        {parts.map(([name, seconds], index) => (
          <span
            key={name}
            class={`tone-${index + 1}`}
            style={{ flexGrow: Math.max(seconds / (all || 1), 0.004) }}
          />
        ))}
      </div>
      <ul class="legend">
        {parts.map(([name, seconds], index) => (
          <li key={name} class={`tone-${index + 1}`}>
            {STAGES[name] ?? words(name)} {duration(seconds)}
          </li>
        ))}
        {props.reused.length > 0 && <li class="plain">reused: {props.reused.join(", ")}</li>}
      </ul>
    </div>
  );
}
