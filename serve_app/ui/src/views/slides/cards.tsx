import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Slide } from "../../api/types";
import { bytes, time } from "../../format";
import { LinkButton, State } from "../../parts/basics";
import { link } from "../../router";
import { mayChange } from "../../session";
import { Actions, dimensions, Mpp, Picture } from "./facts";
import { Rename } from "./rename";

export function Cards({ slides }: { slides: readonly Slide[] }): JSX.Element {
  return (
    <ul class="slide-cards">
      {slides.map((slide) => (
        <Card key={slide.id} slide={slide} />
      ))}
    </ul>
  );
}

function Card({ slide }: { slide: Slide }): JSX.Element {
  const [renaming, setRenaming] = useState(false);
  return (
    <li class="card slide-card">
      <a class="slide-picture" href={link(["slides", slide.id])} tabIndex={-1} aria-hidden="true">
        <Picture slide={slide} />
      </a>
      <div class="slide-text">
        {renaming ? (
          <Rename slide={slide} onDone={() => setRenaming(false)} />
        ) : (
          <a class="slide-name truncate" href={link(["slides", slide.id])} title={slide.name}>
            {slide.name}
          </a>
        )}
        <Said slide={slide} />
      </div>
      <footer>
        {slide.state === "ready" && mayChange.value ? (
          <LinkButton
            href={link(["new"], { slide: slide.id })}
            icon="workflow"
            label={`Segment the cells of ${slide.name}`}
          >
            Segment
          </LinkButton>
        ) : (
          <span class="small muted truncate">{time(slide.uploaded_at)}</span>
        )}
        <Actions slide={slide} onRename={() => setRenaming(true)} isApart />
      </footer>
    </li>
  );
}

function Said({ slide }: { slide: Slide }): JSX.Element {
  if (slide.state === "checking") {
    return (
      <p class="small">
        <span class="state busy">being looked at</span>
      </p>
    );
  }
  if (slide.state === "refused") {
    return (
      <div class="small slide-why">
        <State state="refused" />
        <p title={slide.why?.message}>{slide.why?.message}</p>
      </div>
    );
  }
  const origin = slide.source === "server" ? "server" : null;
  const facts = [bytes(slide.size_bytes), slide.vendor, origin, time(slide.uploaded_at)];
  return (
    <>
      <p class="small slide-said">
        <span>{dimensions(slide)}</span>
        <Mpp slide={slide} />
      </p>
      <p class="small muted truncate">{facts.filter(Boolean).join(" · ")}</p>
    </>
  );
}
