"""The templates, and the command that makes them."""
