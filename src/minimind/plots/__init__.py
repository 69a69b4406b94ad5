"""Pictures and pages from the records of runs. No torch, and matplotlib only inside the functions that draw."""
