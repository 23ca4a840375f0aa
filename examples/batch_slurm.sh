#!/bin/bash
# A folder of videos on eight nodes of a Slurm cluster: sbatch examples/batch_slurm.sh VIDEOS OUT
# Both folders lie on a file system that all nodes share. Submit it again to continue or to repeat what was preempted.
#SBATCH --job-name=amc-batch
#SBATCH --array=0-7
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=12:00:00
#SBATCH --requeue

exec amc-batch "$1" -o "$2" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
    --jobs "$SLURM_CPUS_PER_TASK" \
    --timeout 3600
