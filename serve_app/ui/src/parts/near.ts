// What is far below the screen is neither drawn nor asked for.
const MARGIN = "300px";

/** Call once an element is near what is seen; returns how to stop. */
export function whenNear(element: Element | null, call: () => void): () => void {
  const watch = new IntersectionObserver(
    (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watch.disconnect();
      call();
    },
    { rootMargin: MARGIN },
  );
  if (element) watch.observe(element);
  return () => watch.disconnect();
}
