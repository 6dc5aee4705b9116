"""The lease function, run from the text of its template."""
