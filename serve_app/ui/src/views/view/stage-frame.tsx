// The element that a stage lives in: focus, pointer, crosshair, what is drawn over it.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { asApiError, type ApiError } from "../../api/http";
import { Failure } from "../../parts/basics";
import type { Camera } from "./geometry";
import { useReturn } from "./live-view";
import type { SlideFacts } from "./shapes";
import { openSeadragon, Stage } from "./stage";

interface Props {
  slide: SlideFacts;
  begin: () => Camera | null;
  stage: Stage | null;
  onStage: (stage: Stage | null) => void;
  label: string;
  children?: ComponentChildren;
}

export function StageFrame(props: Props): JSX.Element {
  const { slide, begin, stage, onStage, label, children } = props;
  const box = useRef<HTMLDivElement>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const now = useRef(begin);
  now.current = begin; // another address may come while OpenSeadragon is loaded
  useEffect(() => {
    let made: Stage | null = null;
    let isGone = false;
    openSeadragon().then(
      (osd) => {
        if (isGone || !box.current) return;
        made = new Stage(osd, box.current, slide, now.current());
        onStage(made);
      },
      (thrown: unknown) => setError(asApiError(thrown)),
    );
    return () => {
      isGone = true;
      onStage(null);
      made?.close();
    };
  }, [slide.href]);
  useReturn(() => stage?.revive());
  const track = (event: PointerEvent) => {
    if (stage && event.pointerType !== "touch") stage.pointer.value = stage.placeOf(event);
  };
  return (
    <div
      class="viewer-stage"
      role="application"
      aria-roledescription="slide"
      aria-label={label}
      tabIndex={0}
      onPointerMove={track}
      onPointerLeave={() => stage && (stage.pointer.value = null)}
    >
      <div ref={box} class="viewer-osd" />
      <span class="viewer-crosshair" aria-hidden="true" />
      {error && <Failure error={error} />}
      {children}
    </div>
  );
}

/** Two stages that look at the same place. */
export function useTogether(one: Stage | null, other: Stage | null): void {
  useEffect(() => {
    if (!one || !other) return;
    let isFollowing = false;
    const follow = (from: Stage, to: Stage) =>
      from.camera.subscribe((camera) => {
        if (!camera || isFollowing || !to.camera.peek()) return;
        isFollowing = true;
        to.look(camera, true);
        to.camera.value = camera;
        isFollowing = false;
      });
    const stops = [follow(one, other), follow(other, one)];
    return () => stops.forEach((stop) => stop());
  }, [one, other]);
}
