// What the service tells a viewer. Coordinates are px of the whole slide ("level-0 px").
import type { Schemas } from "../../api/types";

export type SlideFacts = Schemas["SlideView"];
export type OverlayFacts = Schemas["OverlayView"];
/** Levels of tiles; level 0 is the coarsest. `overlap`: px that a tile has of each neighbour. */
export type Pyramid = OverlayFacts | SlideFacts;
/** One picture that lies over the slide, with the same corner. */
export type Sheet = Schemas["TissueView"];
export type MeasureRange = Schemas["MeasureRange"];
export type CellsFacts = Schemas["CellsView"];
export type Cell = Schemas["Cell"];
export type Chunk = Schemas["JobChunk"];
export type Chunks = Schemas["Chunks"];
export type TissueLook = Schemas["SlideTissue"];
export type MeasureFacts = Schemas["MeasureSummary"];
export type Measures = Schemas["Measures"];

export const overlapOf = (pyramid: Pyramid): number => ("overlap" in pyramid ? pyramid.overlap : 0);
