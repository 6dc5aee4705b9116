"""Lets an HTCondor pool borrow machines from AWS: an annex, under a lease that ends it.

Importing this package imports nothing else, so that the tool starts quickly.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
