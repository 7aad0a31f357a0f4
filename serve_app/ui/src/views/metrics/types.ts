// What the API answers of the last hour, of usage and of the service.

export interface Minute {
  at: string;
  jobs_submitted: number;
  jobs_started: number;
  jobs_ended: number;
  wait_median_s: number | null;
  wait_p90_s: number | null;
  chunks: number;
  chunk_median_s: number | null;
  chunk_p90_s: number | null;
  tiles: number;
  cells: number;
  lanes_busy: number;
  queue_depth: number;
  requests: number;
  request_median_ms: number | null;
  request_p95_ms: number | null;
}

export interface Minutes {
  since?: string;
  minutes: Minute[];
}

export interface Info {
  version: string;
  dashboard_url: string | null;
}

export interface UsageDay {
  day: string;
  user: string;
  submitted: number;
  succeeded: number;
  failed: number;
  cells: number;
  tiles: number;
  lane_s: number;
}

export interface Usage {
  since: string;
  until: string;
  days: UsageDay[];
}
