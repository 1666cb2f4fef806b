"""`photochrom bench`: how fast this machine is. Each figure is a ratio that is measured in one run."""
