"""What AWS holds: how it is looked at, and what that means for the annexes of the journal."""
