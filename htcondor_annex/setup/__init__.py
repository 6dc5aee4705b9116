"""What -setup makes in AWS, how it is looked at, and how it is removed.

The core is pure: which stacks there are and what to do with one (`stacks`, `plans`), what their
events mean (`events`), what the knobs are (`regionknobs`). The edges are thin: `aws` makes the
calls, `walk` goes through the stacks, `knobfile` writes.
"""
