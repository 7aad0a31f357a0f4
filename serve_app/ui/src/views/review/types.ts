// What the API answers of a quality check.
import type { Schemas } from "../../api/types";

export type Review = Schemas["JobReview"];
export type Item = Schemas["ReviewItem"];
export type Verdict = NonNullable<Item["verdict"]>;
export type CellShape = Schemas["Cell"];
