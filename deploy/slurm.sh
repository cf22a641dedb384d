#!/bin/bash
# A training on several machines under Slurm: sbatch deploy/slurm.sh DATA OUT [options of kinema train video]
# DATA and OUT lie on a disk that all machines share. Submit the same line again to go on with the run.
#SBATCH --job-name=kinema
#SBATCH --nodes=8
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --signal=INT@120
set -euo pipefail
data=$1 out=$2
shift 2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
place=(--out "$out")
if [ -d "$out/checkpoints" ]; then place=(--resume "$out"); fi
srun torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node 8 --max-restarts 3 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:29500" \
    -m kinema.cli.main train video --data "$data" "${place[@]}" --size L --batch 512 --minutes 1200 "$@"
