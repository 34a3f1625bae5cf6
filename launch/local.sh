#!/usr/bin/env bash
# Several processes on this machine, as if they were hosts:
#
#     launch/local.sh 2 train.py --config=configs/synthetic_tiny.py --workdir=runs/two --config.data.data_dir=data
#
# DEVICES=4 gives each of them so many CPU devices; RESTARTS=3 starts them again where one was lost. The output of host
# I goes to LOGS/I.log (runs/hosts), that of host 0 to the screen as well.
set -euo pipefail
hosts=$1
shift
logs=${LOGS:-runs/hosts}
mkdir -p "$logs"
export JAX_COORDINATOR_ADDRESS=${JAX_COORDINATOR_ADDRESS:-localhost:$((20000 + RANDOM % 20000))}
export JAX_NUM_PROCESSES=$hosts
if [[ -n ${DEVICES:-} ]]; then
    export JAX_PLATFORMS=cpu XLA_FLAGS="${XLA_FLAGS:-} --xla_force_host_platform_device_count=$DEVICES"
fi
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true' TERM INT
for ((host = 0; host < hosts; host++)); do
    JAX_PROCESS_ID=$host ${PYTHON:-python} -m occrobnet_jax.parallel.supervise --restarts="${RESTARTS:-0}" "$@" \
        >>"$logs/$host.log" 2>&1 &
    pids+=($!)
done
tail --pid="${pids[0]}" -n 0 -f "$logs/0.log" 2>/dev/null &
status=0
for pid in "${pids[@]}"; do
    while kill -0 "$pid" 2>/dev/null; do # a signal ends `wait`, but not the host
        wait "$pid" || true
    done
    wait "$pid" || status=$?
done
exit "$status"
