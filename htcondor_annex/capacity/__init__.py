"""The kinds of capacity that an annex can have, one module each."""
