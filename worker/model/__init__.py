"""The fusion model: its colour space, networks, checkpoints and the colorizer that runs them."""
