#!/usr/bin/env bash
# The same command on every host of a TPU VM slice; the metadata server tells JAX who the others are:
#
#     TPU=my-slice ZONE=us-west4-a launch/tpu_vm.sh --config=configs/interhand26m.py --workdir=/shared/runs/interhand26m
#
# The repository with its environment is expected in FOLDER on each of them, dataset and workdir on a disk that all of
# them share. SIGTERM to train.py on any host (`pkill -TERM -f train.py`) saves on all of them.
set -euo pipefail
: "${TPU:?name of the TPU VM}" "${ZONE:?its zone}"
printf -v flags ' %q' "$@"
exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
    cd ${FOLDER:-occrobnet-jax} &&
    exec .venv/bin/python -m occrobnet_jax.parallel.supervise --restarts=${RESTARTS:-3} \
        train.py --coordinator=auto$flags"
