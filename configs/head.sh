#!/usr/bin/env bash
# The head of a cluster with the service on it, in one container: starts Ray by the command that it
# is given, waits until it is there, and runs `raysched up`, which joins it.
#
#     head.sh ray start --head --block --port 6379 ...
#
# RAY_ADDRESS names that Ray, RAYSCHED_SERVE__HOST where the service listens. When Ray ends this ends
# with 1, when the service ends with its exit code (0: it was told to). SIGTERM ends the service in
# order, then Ray.
set -uo pipefail

ray= service=

stop() {
    local each
    for each in "$service" "$ray"; do
        if [ -n "$each" ] && kill -TERM "$each" 2>/dev/null; then
            wait "$each"
        fi
    done
}

trap 'stop; exit 0' TERM INT
"$@" &
ray=$!
until (exec 3<>"/dev/tcp/${RAY_ADDRESS/:/\/}") 2>/dev/null; do
    kill -0 "$ray" 2>/dev/null || exit 1
    sleep 1
done
raysched up --json &
service=$!
wait -n "$ray" "$service"
code=$?
kill -0 "$service" 2>/dev/null && code=1
stop
exit "$code"
