"""The lease of an annex: the rule that fires, and the function that it runs.

`function.py` is AWS Lambda's: it is inlined into a template, and nothing here imports it.
"""
