"""What was measured as text, plots and pages that need nothing else."""
