"""`photochrom bench`: how fast this machine is, each figure a ratio taken in one run."""
