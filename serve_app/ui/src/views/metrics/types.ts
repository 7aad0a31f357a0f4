// What the API answers of the last hour and of the service.
import type { Schemas } from "../../api/types";

export type Minute = Schemas["ClusterMinute"];
export type Minutes = Schemas["ClusterMinutes"];
export type Info = Schemas["Info"];
