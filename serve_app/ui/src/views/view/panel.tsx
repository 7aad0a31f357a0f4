// The side panel: how cells are drawn, and what else is shown.
import { useComputed } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";
import type { ApiError } from "../../api/http";
import { number, percent, unit, words } from "../../format";
import { Choice, Field } from "../../parts/basics";
import type { Looking } from "./address";
import { ChunkLegend, Holes } from "./chunk-map";
import { shownPx } from "./geometry";
import { COLOURS, type Style } from "./look";
import { Strip } from "./palettes";
import { MeasureColours } from "./measure-colours";
import type { CellsFacts, Chunks } from "./shapes";
import type { Stage } from "./stage";

const STYLES: readonly (readonly [Style, string])[] = [
  ["outline", "Outline"],
  ["fill", "Fill"],
  ["density", "Density"],
];

export function Section(props: {
  title: string;
  aside?: ComponentChildren;
  children?: ComponentChildren;
}): JSX.Element {
  return (
    <section class="viewer-section">
      <header>
        <h2>{props.title}</h2>
        {props.aside}
      </header>
      {props.children}
    </section>
  );
}

/** On or off. */
export function Switch(props: {
  label: string;
  keys: string;
  value: boolean;
  onChange: (value: boolean) => void;
  isHidden?: boolean;
  about?: string;
}): JSX.Element {
  return (
    <label class="viewer-switch" title={`${props.about ?? props.label} (${props.keys})`}>
      <span class={props.isHidden ? "unseen" : ""}>{props.label}</span>
      <kbd>{props.keys}</kbd>
      <input
        type="checkbox"
        role="switch"
        checked={props.value}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
    </label>
  );
}

interface CellsProps {
  looking: Looking;
  stage: Stage;
  view: CellsFacts;
  /** Each of two jobs has its own colour. */
  isCompared: boolean;
}

export function CellsSection(props: CellsProps): JSX.Element {
  const { looking, view, isCompared } = props;
  const { look, set } = looking;
  const now = look.value;
  const isDifference = isCompared && now.mode === "difference";
  const isMixed = isCompared && now.mode === "both"; // two densities over each other tell nothing
  return (
    <Section
      title="Cells"
      aside={
        <Switch
          label="Show cells"
          keys="C"
          value={now.cells}
          onChange={(cells) => set({ cells })}
          isHidden
        />
      }
    >
      <div class="viewer-options" data-off={!now.cells}>
        {!isDifference && (
          <Choice
            label="How cells are drawn"
            options={isMixed ? STYLES.filter(([style]) => style !== "density") : STYLES}
            value={isMixed && now.style === "density" ? "outline" : now.style}
            onChange={(style) => set({ style })}
          />
        )}
        <Opacity value={now.opacity} onChange={(opacity) => set({ opacity })} />
        <Far {...props} />
        {now.style === "density" && !isCompared && <DensityKey view={view} />}
        {!isCompared && now.style !== "density" && (
          <>
            <By looking={looking} view={view} />
            {now.by ? (
              <MeasureColours looking={looking} view={view} />
            ) : (
              <Colours value={now.colour} onChange={(colour) => set({ colour })} />
            )}
          </>
        )}
      </div>
    </Section>
  );
}

/** What the colours of the density stand for. */
function DensityKey({ view }: { view: CellsFacts }): JSX.Element {
  const high = view.overlay?.density_high;
  return (
    <div class="viewer-ends">
      <Strip palette="density" />
      <span>0</span>
      <span class="muted">cells per mm²</span>
      <span>{high ? `${number(high, 2)} or more` : "many"}</span>
    </div>
  );
}

const FAR_UM = 2.5;

/** From afar the service draws density, whatever is wanted. */
function Far({ looking, stage, view }: CellsProps): JSX.Element | null {
  const { cells, style } = looking.look.value;
  const finest = view.overlay?.l0_per_px ?? 1;
  const isFar = useComputed(() => {
    const { mpp } = stage.slide;
    return (mpp ?? 0) * shownPx(stage.camera.value?.zoom ?? 1, finest) > FAR_UM;
  });
  if (!isFar.value || style === "density" || !cells) return null;
  return (
    <>
      <p class="muted small">From this far their density is shown. Zoom in for single cells.</p>
      <DensityKey view={view} />
    </>
  );
}

function Opacity(props: { value: number; onChange: (value: number) => void }): JSX.Element {
  const id = useId();
  return (
    <div class="viewer-slider">
      <label for={id}>Opacity</label>
      <input
        id={id}
        type="range"
        min="0.05"
        max="1"
        step="0.05"
        value={props.value}
        onInput={(event) => props.onChange(Number(event.currentTarget.value))}
      />
      <output for={id}>{percent(props.value)}</output>
    </div>
  );
}

function By({ looking, view }: { looking: Looking; view: CellsFacts }): JSX.Element {
  const { look, set } = looking;
  return (
    <Field label="Colour by">
      {(ids) => (
        <select
          {...ids}
          value={look.value.by ?? ""}
          onChange={(event) => {
            const by = event.currentTarget.value || null;
            set({ by, low: null, high: null });
          }}
        >
          <option value="">One colour</option>
          {view.measures.map(({ name, unit: of }) => (
            <option key={name} value={name}>
              {words(name)}
              {unit(of) && ` (${unit(of)})`}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

function Colours(props: { value: string; onChange: (value: string) => void }): JSX.Element {
  const name = useId();
  const isOwn = !COLOURS.some(([each]) => each === props.value);
  return (
    <fieldset class="viewer-colours">
      <legend class="unseen">Colour of the cells</legend>
      {COLOURS.map(([value, text]) => (
        <label key={value} title={text}>
          <input
            type="radio"
            name={name}
            checked={props.value === value}
            onChange={() => props.onChange(value)}
          />
          <span class="viewer-colour" style={{ backgroundColor: `#${value}` }} />
          <span class="unseen">{text}</span>
        </label>
      ))}
      <label class="viewer-own" title="A colour of your own" data-chosen={isOwn}>
        <span class="unseen">A colour of your own</span>
        <input
          type="color"
          value={`#${props.value}`}
          onChange={(event) => props.onChange(event.currentTarget.value.slice(1))}
        />
      </label>
    </fieldset>
  );
}

interface LayersProps {
  looking: Looking;
  stage: Stage;
  chunks: Chunks | null;
  hasTissue: boolean;
  hasChunks: boolean;
  error: ApiError | null;
  /** The job has ended: nothing waits any more. */
  isOver: boolean;
}

export function LayersSection(props: LayersProps): JSX.Element {
  const { looking, stage, chunks, hasTissue, hasChunks, error, isOver } = props;
  const { look, set } = looking;
  return (
    <Section title="On the slide">
      {hasTissue && (
        <Switch
          label="Tissue mask"
          about="What was taken for tissue: nothing else is segmented"
          keys="T"
          value={look.value.tissue}
          onChange={(tissue) => set({ tissue })}
        />
      )}
      {hasChunks && (
        <Switch
          label="Chunk map"
          about="The parts of the slide that are computed one by one, and how far each is"
          keys="M"
          value={look.value.chunks}
          onChange={(shown) => set({ chunks: shown })}
        />
      )}
      {!hasTissue && !hasChunks && <p class="muted small">Nothing is known of its tissue yet.</p>}
      {error && look.value.chunks && (
        <p class="field-error">
          {error.message} {error.remedy}
        </p>
      )}
      {chunks && look.value.chunks && <ChunkLegend {...{ stage, chunks, isOver }} />}
      {chunks && !look.value.chunks && <Holes stage={stage} chunks={chunks} />}
    </Section>
  );
}
