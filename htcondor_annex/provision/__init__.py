"""Provisioning: the table of steps and what undoes them (pure), and what carries it out."""
