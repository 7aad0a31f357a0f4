// The files of a job, and the formats that other programs open.
import type { JSX } from "preact";
import type { Results } from "../../api/types";
import { bytes } from "../../format";
import { Failure, LinkButton, Loading, Notice } from "../../parts/basics";
import { Icon } from "../../parts/icons";
import { useLoad } from "../../parts/load";

type Export = Results["exports"][number];

/** What opens each format. */
const FORMATS: Record<string, readonly [string, string]> = {
  geojson: ["For QuPath", "GeoJSON detections with measurements; drag it onto the open slide"],
  csv: ["For spreadsheets, R and pandas", "CSV, a row for each cell, without outlines"],
  "csv-polygons": ["Outlines as a table", "CSV, a row for each cell with its polygon"],
  geoparquet: ["For GeoPandas, DuckDB and pandas", "GeoParquet with outlines, the smallest"],
  h5ad: ["For Scanpy and squidpy", "AnnData: measurements with positions"],
  spatialdata: ["For SpatialData and sopa", "A zipped Zarr: table, shapes and labels"],
  "ome-zarr": ["For napari", "OME-Zarr 0.5 labels, zipped: unpack it, then open the folder"],
  "ome-zarr-0.4": ["For older napari, MoBIE and Fiji", "OME-Zarr 0.4 labels, zipped"],
  "ome-zarr-zip": ["For readers of .ozx", "OME-Zarr labels in one file"],
  manifest: ["For the record", "JSON: how the cells were made"],
};
const ORDER = Object.keys(FORMATS);

export function Downloads({ job }: { job: string }): JSX.Element {
  const { data, error, again } = useLoad<Results>(`/jobs/${job}/results`);
  return (
    <section class="card stack" aria-labelledby="downloads-head">
      <header class="row apart">
        <h2 id="downloads-head" tabIndex={-1}>
          Downloads
        </h2>
        {data?.zip && (
          <LinkButton href={data.zip.href} icon="download" download>
            All files, {bytes(data.zip.size_bytes)}
          </LinkButton>
        )}
      </header>
      {error && <Failure error={error} onRetry={again} />}
      {!data && !error && <Loading label="Loading the files" rows={6} />}
      {data && !data.complete && (
        <Notice tone="warn">
          The job has not ended: these files hold the cells of the chunks that are done, and say
          “partial” in their names.
        </Notice>
      )}
      {data && <Exports exports={data.exports} />}
      {data && data.files.length > 0 && <Files results={data} />}
    </section>
  );
}

function Exports({ exports }: { exports: readonly Export[] }): JSX.Element {
  const rank = (each: Export) => (ORDER.indexOf(each.format) + ORDER.length) % ORDER.length;
  const sorted = [...exports].sort((a, b) => rank(a) - rank(b));
  return (
    <ul class="exports">
      {sorted.map((each) => {
        const [title, about] = FORMATS[each.format] ?? [each.format, each.media_type];
        const size = `${each.exact ? "" : "about "}${bytes(each.size_bytes)}`;
        return (
          <li key={each.format}>
            <a href={each.href} download={each.name} title={each.name}>
              <Icon name="download" size={18} />
              <span>
                <strong>{title}</strong>
                <span class="muted small">{about}</span>
              </span>
              <span class="number small">{size}</span>
            </a>
          </li>
        );
      })}
    </ul>
  );
}

function Files({ results }: { results: Results }): JSX.Element {
  return (
    <details class="files">
      <summary>
        {results.files.length} files of the results folder, {bytes(results.size_bytes)}
      </summary>
      <div class="scroll" tabIndex={0} role="region" aria-label="Files of the results folder">
        <table class="table">
          <thead>
            <tr>
              <th scope="col">File</th>
              <th scope="col" class="number">
                Size
              </th>
            </tr>
          </thead>
          <tbody>
            {results.files.map((file) => (
              <tr key={file.path}>
                <td>
                  <a href={file.href} download>
                    {file.path}
                  </a>
                </td>
                <td class="number">{bytes(file.size_bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}
