// Where a pixel size comes from, as the server names it (raysched/imaging/mpp.py), in words.
const SOURCES: Record<string, string> = {
  vendor: "from the scanner",
  tiff: "from the TIFF resolution",
  objective: "from the objective's power",
  user: "given by hand",
};

export const mppSource = (source: string | null | undefined): string =>
  source ? (SOURCES[source] ?? `from ${source.replaceAll("_", " ")}`) : "";
