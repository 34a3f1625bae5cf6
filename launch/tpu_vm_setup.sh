#!/usr/bin/env bash
# Puts this checkout's newest commit and its locked environment on every host of a TPU VM slice; once, and again after
# each commit:
#
#     TPU=my-slice ZONE=us-west4-a launch/tpu_vm_setup.sh
#     TPU=my-slice ZONE=us-west4-a NFS=10.0.0.2:/share launch/tpu_vm_setup.sh    # a Filestore as /shared besides
#
# It ends with the number and kind of the slice's chips, as JAX sees them from each host.
set -euo pipefail
: "${TPU:?name of the TPU VM}" "${ZONE:?its zone}"
cd "$(dirname "$0")/.."
folder=${FOLDER:-occrobnet-jax}
bundle=$(mktemp --suffix=.bundle)
trap 'rm -f "$bundle"' EXIT
git bundle create --quiet "$bundle" HEAD
gcloud compute tpus tpu-vm scp "$bundle" "$TPU:occrobnet.bundle" --zone="$ZONE" --worker=all
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all --command="
    set -e
    if [ -n '${NFS:-}' ] && ! mountpoint --quiet /shared; then
        sudo apt-get install --quiet --yes nfs-common
        sudo mkdir -p /shared
        sudo mount -t nfs '${NFS:-}' /shared
    fi
    [ -d $folder ] || git init --quiet $folder
    cd $folder
    git fetch --quiet ~/occrobnet.bundle HEAD
    git checkout --quiet --detach FETCH_HEAD
    export PATH=\$HOME/.local/bin:\$PATH
    command -v uv >/dev/null || curl -LsSf https://astral.sh/uv/install.sh | sh
    [ -d .venv ] || uv venv --quiet --python 3.12 .venv
    uv pip install --quiet --python .venv/bin/python -r requirements.txt -r requirements/tpu.txt
    .venv/bin/python -c 'import jax; print(jax.device_count(), jax.devices()[0].device_kind)'"
