// What the API answers of the last hour, of usage and of the service.
import type { Schemas } from "../../api/types";

export type Minute = Schemas["ClusterMinute"];
export type Minutes = Schemas["ClusterMinutes"];
export type Info = Schemas["Info"];
export type UsageDay = Schemas["UsageDay"];
export type Usage = Schemas["UsageReport"];
