// A small picture of a job's slide: asked for when it comes into sight.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, url } from "../api/http";
import { whenNear } from "./near";
import { Icon } from "./icons";
import "./job-picture.css";

interface SlideSize {
  slide: { width: number; height: number };
}

type Shown = "waiting" | "region" | "preview" | "none";

interface Props {
  job: string;
  alt: string;
  /** Of the longer side, in px. */
  most?: number;
  /** Whether the results have a picture of their own. */
  hasPreview?: boolean;
}

/** The slide with its cells; where the slide is gone, the preview that the results keep. */
export function JobPicture({ job, alt, most = 640, hasPreview = true }: Props): JSX.Element {
  const place = useRef<HTMLSpanElement>(null);
  const [shown, show] = useState<Shown>("waiting");
  const [source, setSource] = useState<string | null>(null);
  const otherwise = () => show(hasPreview ? "preview" : "none");
  useEffect(() => {
    const stop = new AbortController();
    const load = async () => {
      try {
        const { slide } = await ask<SlideSize>(`/jobs/${job}/view`, { signal: stop.signal });
        const { width, height } = slide;
        setSource(url(`/jobs/${job}/picture`, { x: 0, y: 0, width, height, most_px: most }));
        show("region");
      } catch {
        if (!stop.signal.aborted) otherwise();
      }
    };
    const leave = whenNear(place.current, () => void load());
    return () => {
      leave();
      stop.abort();
    };
  }, [job, most]);
  const preview = url(`/jobs/${job}/results/preview.png`);
  return (
    <span ref={place} class={`job-picture ${shown}`}>
      {shown === "region" && source && <img src={source} alt={alt} onError={otherwise} />}
      {shown === "preview" && <img src={preview} alt={alt} onError={() => show("none")} />}
      {shown === "none" && <Icon name="slides" size={32} />}
    </span>
  );
}
