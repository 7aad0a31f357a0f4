import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Slide } from "../../api/types";
import { bytes, mppSource, time } from "../../format";
import { State } from "../../parts/basics";
import { link } from "../../router";
import { Actions, dimensions, levelsOf, Mpp, Picture } from "./facts";
import { Rename } from "./rename";

export function Table({ slides }: { slides: readonly Slide[] }): JSX.Element {
  return (
    <div class="card scroll slide-table" tabIndex={0} role="region" aria-label="Slides as a table">
      <table class="table">
        <thead>
          <tr>
            <th>Slide</th>
            <th class="number">File</th>
            <th class="number">Size</th>
            <th>Pixel size</th>
            <th class="slide-when">Uploaded</th>
            <th class="slide-state">State</th>
            <th>
              <span class="unseen">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {slides.map((slide) => (
            <Row key={slide.id} slide={slide} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Row({ slide }: { slide: Slide }): JSX.Element {
  const [renaming, setRenaming] = useState(false);
  return (
    <tr>
      <td>
        <div class="slide-row-name">
          <Picture slide={slide} />
          <div class="slide-row-text">
            {renaming ? (
              <Rename slide={slide} onDone={() => setRenaming(false)} />
            ) : (
              <a class="slide-name truncate" href={link(["slides", slide.id])} title={slide.name}>
                {slide.name}
              </a>
            )}
            {slide.state !== "ready" && (
              <span class="slide-state-small" title={slide.why?.message}>
                <State state={slide.state} />
              </span>
            )}
          </div>
        </div>
      </td>
      <td class="number nowrap">
        {bytes(slide.size_bytes)}
        <div class="small muted">{slide.vendor}</div>
      </td>
      <td class="number nowrap">
        {dimensions(slide)}
        {slide.levels.length > 0 && <div class="small muted">{levelsOf(slide)}</div>}
      </td>
      <td class="nowrap">
        <Mpp slide={slide} />
        {slide.mpp != null && (
          <div class="small muted slide-source">{mppSource(slide.mpp_source)}</div>
        )}
      </td>
      <td class="nowrap slide-when">
        {time(slide.uploaded_at)}
        {slide.source === "server" && <div class="small muted">from the server</div>}
      </td>
      <td class="slide-state">
        <span title={slide.why?.message}>
          <State state={slide.state} />
        </span>
      </td>
      <td>
        <Actions slide={slide} onRename={() => setRenaming(true)} />
      </td>
    </tr>
  );
}
