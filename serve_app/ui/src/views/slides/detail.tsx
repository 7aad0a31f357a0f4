// One slide: its picture, all that is known of it, and what was made from it.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Slide } from "../../api/types";
import { bytes, count, mppSource, number, time } from "../../format";
import { Empty, Failure, LinkButton, Loading, Notice, State } from "../../parts/basics";
import { Copyable } from "../../parts/copy";
import { Icon } from "../../parts/icons";
import { useLoad } from "../../parts/load";
import { link } from "../../router";
import { Actions, dimensions, Picture } from "./facts";
import { SlideJobs } from "./jobs";
import { put, slides } from "./list";
import { Rename } from "./rename";
import "./detail.css";

export function SlideDetail({ id }: { id: string }): JSX.Element {
  const { data, error, again } = useLoad<Slide>(`/slides/${encodeURIComponent(id)}`);
  const known = slides.value?.find((slide) => slide.id === id);
  useEffect(() => {
    if (data && slides.value) put(data);
  }, [data]);
  const slide = known ?? data;
  if (!slide) {
    if (error?.status === 404) return <Gone />;
    return (
      <>
        <Back />
        {error ? <Failure error={error} onRetry={again} /> : <Loading rows={6} />}
      </>
    );
  }
  return (
    <>
      <Back />
      <Top slide={slide} />
      <div class="detail">
        <section class="card detail-picture" aria-label="Picture">
          <Picture slide={slide} big />
        </section>
        <section class="card stack" aria-label="What is known of it">
          {slide.state === "refused" && slide.why && (
            <Notice tone="bad">
              <strong>{slide.why.message}</strong>
              <p>{slide.why.remedy}</p>
            </Notice>
          )}
          <Facts slide={slide} />
          {slide.levels.length > 0 && <Levels slide={slide} />}
        </section>
      </div>
      <SlideJobs slide={slide} />
    </>
  );
}

function Back(): JSX.Element {
  return (
    <a class="back" href={link(["slides"])}>
      <Icon name="chevron" size={16} /> All slides
    </a>
  );
}

function Top({ slide }: { slide: Slide }): JSX.Element {
  const [renaming, setRenaming] = useState(false);
  return (
    <header class="head detail-head">
      <div class="detail-title">
        <h1 title={slide.name} class={renaming ? "unseen" : ""}>
          {slide.name}
        </h1>
        {renaming && <Rename slide={slide} onDone={() => setRenaming(false)} />}
        {slide.state !== "ready" && <State state={slide.state} />}
      </div>
      <Actions slide={slide} onRename={() => setRenaming(true)} words />
    </header>
  );
}

function Gone(): JSX.Element {
  return (
    <Empty
      icon="slides"
      title="There is no such slide"
      action={<LinkButton href={link(["slides"])}>All slides</LinkButton>}
    >
      It may have been deleted, or it is not one of yours.
    </Empty>
  );
}

function Facts({ slide }: { slide: Slide }): JSX.Element {
  const isReady = slide.state === "ready";
  const um = (px: number | null) =>
    slide.mpp && px ? `${number((px * slide.mpp) / 1000)} mm` : null;
  const across = [um(slide.width), um(slide.height)].filter(Boolean).join(" × ");
  return (
    <dl class="facts">
      <Fact name="Size">{dimensions(slide)}</Fact>
      {across && <Fact name="On the glass">{across}</Fact>}
      {isReady && (
        <Fact name="Pixel size">
          {slide.mpp == null ? (
            <>
              <span class="state ask">no pixel size</span>{" "}
              <span class="muted">the file does not say it: you are asked before a job runs</span>
            </>
          ) : (
            <>
              {number(slide.mpp, 4)} µm/px <span class="muted">{mppSource(slide.mpp_source)}</span>
            </>
          )}
        </Fact>
      )}
      {slide.vendor && <Fact name="Vendor">{slide.vendor}</Fact>}
      <Fact name="File">
        {bytes(slide.size_bytes)}{" "}
        <span class="muted">
          {slide.source === "server"
            ? "in a folder of the server"
            : `${count(slide.size_bytes)} bytes`}
        </span>
      </Fact>
      <Fact name={slide.source === "server" ? "Registered" : "Uploaded"}>
        {time(slide.uploaded_at)}
      </Fact>
      {slide.sha256 && (
        <Fact name="SHA-256">
          <Copyable text={slide.sha256} label="the SHA-256" />
        </Fact>
      )}
      <Fact name="Id">
        <Copyable text={slide.id} label="the id" />
      </Fact>
    </dl>
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

function Levels({ slide }: { slide: Slide }): JSX.Element {
  return (
    <table class="table levels">
      <caption class="unseen">Levels of the pyramid</caption>
      <thead>
        <tr>
          <th>Level</th>
          <th class="number">Width, px</th>
          <th class="number">Height, px</th>
          <th class="number">Downsample</th>
          {slide.mpp != null && <th class="number">µm/px</th>}
        </tr>
      </thead>
      <tbody>
        {slide.levels.map((level, index) => (
          <tr key={index}>
            <td>{index}</td>
            <td class="number">{count(level.width)}</td>
            <td class="number">{count(level.height)}</td>
            <td class="number">{number(level.downsample)}</td>
            {slide.mpp != null && <td class="number">{number(slide.mpp * level.downsample)}</td>}
          </tr>
        ))}
      </tbody>
    </table>
  );
}
