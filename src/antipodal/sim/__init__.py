"""Execution in simulation: convex pieces, the MuJoCo world, one trial."""
