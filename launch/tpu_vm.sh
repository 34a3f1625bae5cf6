#!/usr/bin/env bash
# The same command on every host of a TPU VM slice; the metadata server tells JAX who the others are. eval.py likewise:
#
#     TPU=my-slice ZONE=us-west4-a launch/tpu_vm.sh --config=configs/interhand26m.py --workdir=/shared/run
#     TPU=my-slice ZONE=us-west4-a launch/tpu_vm.sh eval.py --config=configs/interhand26m.py --workdir=/shared/run
#
# The repository with its environment is expected in FOLDER (occrobnet-jax) on each of them, dataset and workdir on a
# disk that all of them share. The run doesn't need this terminal: each host writes to FOLDER/LOGS/HOSTNAME.log
# (runs/hosts), which is shown here. Ctrl-C, a closed laptop or a lost connection end only that. To see it again:
#
#     gcloud compute tpus tpu-vm ssh my-slice --zone=us-west4-a --worker=all \
#         --command='tail -n 100 -F occrobnet-jax/runs/hosts/*.log'
#
# To end the run (train.py saves on all hosts; the brackets keep pkill from finding its own shell):
#
#     gcloud compute tpus tpu-vm ssh my-slice --zone=us-west4-a --worker=all \
#         --command="pkill -TERM -f '[o]ccrobnet_jax.parallel.supervise'"
set -euo pipefail
: "${TPU:?name of the TPU VM}" "${ZONE:?its zone}"
program=train.py
if [[ ${1:-} == [!-]*.py ]]; then
    program=$1
    shift
fi
printf -v flags ' %q' "$program" --coordinator=auto "$@"
logs=${LOGS:-runs/hosts}
exec gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
    set -e
    cd ${FOLDER:-occrobnet-jax}
    mkdir -p $logs
    log=$logs/\$(hostname).log
    touch \$log
    written=\$(wc -c <\$log)
    setsid nohup .venv/bin/python -m occrobnet_jax.parallel.supervise --restarts=${RESTARTS:-3}$flags \
        >>\$log 2>&1 </dev/null &
    tail --pid=\$! -c +\$((written + 1)) -F \$log 2>/dev/null
    wait \$!"
