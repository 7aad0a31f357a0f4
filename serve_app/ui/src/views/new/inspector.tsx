// The settings of the job that is chosen on the board.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Engine } from "../../api/types";
import { Button, Choice, Field } from "../../parts/basics";
import { SettingField } from "./field";
import { copies, renamed, specified, type Job } from "./graph";
import { KINDS, OF_CELLS, type Kind } from "./make";
import {
  CHUNK_TILES,
  MAX_FAILED_SHARE,
  MEASURE,
  MPP,
  settingsOf,
  TILE_PX,
  TISSUE,
  type Setting,
} from "./schema";
import { Preview } from "./preview";
import { slides } from "../../slides";
import { slideName } from "./slides";
import { draft, edit, invalid, mark } from "./state";

type Values = Record<string, unknown>;

export function Inspector({ job, engines }: { job: Job; engines: readonly Engine[] }): JSX.Element {
  const isCells = job.spec.kind !== "tissue_mask";
  return (
    <section class="card inspector" aria-labelledby="settings-of">
      <div class="inspector-head">
        <h2 id="settings-of">
          Settings of <span class="mono">{job.name ?? "a job without a name"}</span>
        </h2>
        <ForAll job={job} />
      </div>
      <div class="inspector-body">
        <div class="stack">
          <Basics job={job} engines={engines} />
          {isCells && <EngineSettings job={job} engines={engines} />}
          <Group job={job} title="What counts as tissue" group="tissue" settings={TISSUE} />
          {isCells && <Group job={job} title="Measuring" group="measure" settings={MEASURE} />}
          <Advanced job={job} isCells={isCells} />
        </div>
        <Preview job={job} />
      </div>
    </section>
  );
}

/** The same settings for all jobs of the kind, on their own slides. */
function ForAll({ job }: { job: Job }): JSX.Element | null {
  const alike = draft.value.jobs.filter((each) => each.spec.kind === job.spec.kind);
  if (alike.length < 2) return null;
  const apply = () => {
    const { slide: _slide, mpp: _mpp, ...spec } = job.spec;
    const jobs = draft.value.jobs.map((each) => {
      if (each.spec.kind !== job.spec.kind) return each;
      const kept = "mpp" in each.spec ? { mpp: each.spec["mpp"] } : {};
      return { ...each, spec: { ...structuredClone(spec), slide: each.spec.slide, ...kept } };
    });
    edit({ ...draft.value, jobs: jobs as Job[] }, `The settings are those of ${alike.length} jobs`);
  };
  return (
    <Button icon="copy" onClick={apply}>
      Use for all {alike.length} jobs of this kind
    </Button>
  );
}

function Basics({ job, engines }: { job: Job; engines: readonly Engine[] }): JSX.Element {
  const { spec } = job;
  const ready = (slides.value ?? []).filter((slide) => slide.state === "ready");
  const isListed = ready.some((slide) => slide.id === spec.slide);
  return (
    <div class="setting-grid">
      <NameField job={job} />
      <Field label="Slide">
        {(ids) => (
          <select
            {...ids}
            value={spec.slide}
            onChange={(event) => put(job, { slide: event.currentTarget.value, mpp: undefined })}
          >
            {!isListed && <option value={spec.slide}>{slideName(spec.slide)}</option>}
            {ready.map((slide) => (
              <option key={slide.id} value={slide.id}>
                {slide.name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <div class="field">
        <span class="field-label">Finds</span>
        <Choice
          label="What the job finds"
          options={KINDS}
          value={spec.kind as Kind}
          onChange={(kind) => put(job, ofKind(job, kind))}
        />
      </div>
      {spec.kind !== "tissue_mask" && (
        <Field label="Engine">
          {(ids) => (
            <select
              {...ids}
              value={engineOf(job)}
              onChange={(event) => put(job, ofEngine(job, event.currentTarget.value))}
            >
              {engines.map((each) => (
                <option key={each.name} value={each.name}>
                  {each.name} {each.version}
                </option>
              ))}
              {!engines.some((each) => each.name === engineOf(job)) && (
                <option>{engineOf(job)}</option>
              )}
            </select>
          )}
        </Field>
      )}
    </div>
  );
}

function NameField({ job }: { job: Job }): JSX.Element {
  const [text, setText] = useState(job.name ?? "");
  const at = `${job.id}/name`;
  useEffect(() => {
    if (!invalid.value.has(at)) setText(job.name ?? "");
  }, [job.id, job.name]);
  const take = (typed: string) => {
    setText(typed);
    const next = renamed(draft.value, job.id, typed);
    mark(at, "refused" in next ? next.refused : null);
    if ("draft" in next) edit(next.draft, null, at);
  };
  return (
    <Field label="Name" error={invalid.value.get(at)}>
      {(ids) => (
        <input
          {...ids}
          value={text}
          maxLength={64}
          autocomplete="off"
          onInput={(event) => take(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

function EngineSettings({ job, engines }: { job: Job; engines: readonly Engine[] }): JSX.Element {
  const engine = engines.find((each) => each.name === engineOf(job));
  if (!engine) {
    return <p class="field-error">The engine {engineOf(job)} is not installed on this service.</p>;
  }
  const settings = settingsOf(engine.parameters);
  const sweeps = copies(job);
  return (
    <fieldset class="group">
      <legend>
        {engine.name} <span class="muted small">sees {engine.target_mpp} µm per pixel</span>
      </legend>
      {sweeps > 1 && (
        <p class="small sweep-note">Becomes {sweeps} jobs, on branches of their own.</p>
      )}
      <Settings job={job} group="params" settings={settings} />
    </fieldset>
  );
}

interface GroupProps {
  job: Job;
  title: string;
  group: "tissue" | "measure";
  settings: readonly Setting[];
}

function Group({ job, title, group, settings }: GroupProps): JSX.Element {
  const set = settings.filter((each) => isSet(job, group, each.name)).length;
  return (
    <details class="group" open={set > 0}>
      <summary>
        {title} <span class="muted small">{set ? `${set} changed` : "as usual"}</span>
      </summary>
      <Settings job={job} group={group} settings={settings} />
    </details>
  );
}

function Settings(props: { job: Job; group: string; settings: readonly Setting[] }): JSX.Element {
  const { job, group, settings } = props;
  const values = (job.spec[group] ?? {}) as Values;
  const sweep = (job.spec["sweep"] ?? {}) as Record<string, unknown[]>;
  return (
    <div class="setting-grid">
      {settings.map((setting) => {
        const name = sweepName(group, setting.name);
        const at = `${job.id}/${name}`;
        return (
          <SettingField
            key={at}
            at={at}
            setting={setting}
            value={values[setting.name]}
            sweep={sweep[name]}
            onValue={(value) => {
              const rest = without(values, setting.name);
              const next = value === undefined ? rest : { ...values, [setting.name]: value };
              put(job, { [group]: filled(next) }, at);
            }}
            onSweep={(tried) => {
              const others = without(sweep, name);
              const next = tried === undefined ? others : { ...sweep, [name]: [...tried] };
              if (tried?.length === 0) mark(at, "Give values with commas between them.");
              const left = filled(without(values, setting.name));
              put(job, { sweep: filled(next), [group]: left }, at);
            }}
          />
        );
      })}
    </div>
  );
}

function Advanced({ job, isCells }: { job: Job; isCells: boolean }): JSX.Element {
  const settings = isCells ? [MPP, TILE_PX, CHUNK_TILES, MAX_FAILED_SHARE] : [MPP];
  const set = settings.filter((each) => job.spec[each.name] != null).length;
  return (
    <details class="group" open={set > 0}>
      <summary>
        Advanced <span class="muted small">{set ? `${set} changed` : "pixel size, tiles"}</span>
      </summary>
      <div class="setting-grid">
        {settings.map((setting) => {
          const at = `${job.id}/${setting.name}`;
          const put1 = (value: unknown) => put(job, { [setting.name]: value ?? undefined }, at);
          const value = job.spec[setting.name] ?? undefined;
          return <SettingField key={at} at={at} setting={setting} value={value} onValue={put1} />;
        })}
      </div>
    </details>
  );
}

export const engineOf = (job: Job): string => String(job.spec["engine"] ?? "classical");

function isSet(job: Job, group: string, name: string): boolean {
  const sweep = (job.spec["sweep"] ?? {}) as Values;
  return name in ((job.spec[group] ?? {}) as Values) || sweepName(group, name) in sweep;
}

const sweepName = (group: string, name: string): string =>
  group === "params" ? name : `${group}.${name}`;

function without<T>(values: Record<string, T>, name: string): Record<string, T> {
  const { [name]: _gone, ...rest } = values;
  return rest;
}

/** Nothing rather than an empty object: so the draft says only what was set. */
const filled = (values: Values): Values | undefined =>
  Object.keys(values).length ? values : undefined;

/** Another engine takes other parameters. */
function ofEngine(job: Job, engine: string): Values {
  return { engine, params: undefined, sweep: sweepOf(job, /^(tissue|measure)\./) };
}

function ofKind(job: Job, kind: Kind): Values {
  if (kind !== "tissue_mask") return { kind };
  const gone = Object.fromEntries(OF_CELLS.map((field) => [field, undefined]));
  return { kind, ...gone, sweep: sweepOf(job, /^tissue\./) };
}

function sweepOf(job: Job, kept: RegExp): Values | undefined {
  const sweep = Object.entries((job.spec["sweep"] ?? {}) as Values);
  return filled(Object.fromEntries(sweep.filter(([name]) => kept.test(name))));
}

function put(job: Job, fields: Values, tag: string | null = null): void {
  edit(specified(draft.value, job.id, fields), null, tag);
}
