"""Benchmarks: what the tool and the daemon cost, as ratios to baselines of the same run.

`make bench` runs them all; `python -m bench -help` names them. docs/explanation/performance.md
says what each one measures, and why.
"""
