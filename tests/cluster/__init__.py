"""Studies on clusters: stand-ins for SLURM's commands, and a real SLURM and a real Ray of two nodes on this machine."""
