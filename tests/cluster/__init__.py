"""Studies on clusters: a stand-in for SLURM's commands, and a real SLURM of two nodes on this machine."""
