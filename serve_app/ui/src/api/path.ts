// Addresses are made of ids that come out of the page's own address, which anybody may have written:
// a link to `#/review/..%2F..%2Fslides%2Fsl-1` must not lead a request elsewhere.

const DOTS = /^(\.|%2e){1,2}$/i;

/** Whether a path of the API is what it looks like: a browser would not change where it leads. */
export function leadsThere(path: string): boolean {
  return !/[?#\\\t\r\n]/.test(path) && !path.split("/").some((part) => DOTS.test(part));
}

/** A part of the page's address as text; what is no such text stays as it is. */
export function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
