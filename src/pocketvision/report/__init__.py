"""What people see of a run: one page and a model card."""
