"""`condor_annexd`: the daemon under condor_master that provisions annexes."""
