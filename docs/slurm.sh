#!/usr/bin/env bash
# A training on several nodes of a SLURM cluster, one process a GPU:
#
#     sbatch docs/slurm.sh runs/wrn wrn-28-10 --data cifar-10 --recipe wrn-cifar --precision auto
#
# The first word is the run's folder, which all nodes must see; the rest goes to `resatlas train`. Before the time is up
# SLURM sends SIGUSR1: all processes end at the same step, with a checkpoint, and the job queues again and goes on.
#
# NOT run on a cluster: tested with stand-ins for srun and scontrol, two processes on one machine without a GPU.

#SBATCH --job-name=resatlas
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append

set -uo pipefail

run=${1:?the folder of the run, then the words of resatlas train}
shift

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-4}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240 # seconds for a step and a checkpoint, before processes are killed

# after -- nothing is taken for an option of torchrun, which begins to read --log as its --log-dir
srun torchrun \
    --nnodes "$SLURM_NNODES" \
    --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" \
    --rdzv-backend c10d \
    --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}" \
    --rdzv-endpoint "$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1):${PORT:-29500}" \
    --signals-to-handle SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 \
    -m -- resatlas train "$@" --out "$run" --resume auto
code=$?

# torchrun ends with 1 whatever its processes said; the run's own status tells a stop (exit code 75) from a failure.
stopped='import json, sys; sys.exit(json.load(open(sys.argv[1]))["status"] != "stopped")'
if ((code)) && python -c "$stopped" "$run/status.json"; then
    scontrol requeue "$SLURM_JOB_ID"
    code=0
fi
exit "$code"
