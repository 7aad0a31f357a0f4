// A whole log as text, page by page.
import { send } from "../../api/http";

const PAGE = 500;
const PAGES_MOST = 400;

/** As the service writes it for people. */
export async function wholeLog(job: string, level: string): Promise<string> {
  const found: string[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < PAGES_MOST; page++) {
    const query = { format: "text", limit: PAGE, level, cursor };
    const answer: Response = await send(`/jobs/${encodeURIComponent(job)}/log`, { query });
    const text = await answer.text();
    const next = answer.headers.get("X-Next-Cursor");
    found.push(text);
    if (!text || !next || next === cursor) break;
    cursor = next;
  }
  return found.join("");
}

/** Hands text to the browser as a file to keep. */
export function keepAsFile(name: string, text: string): void {
  const href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const anchor = document.createElement("a");
  anchor.href = href;
  anchor.download = name;
  anchor.click();
  URL.revokeObjectURL(href);
}
