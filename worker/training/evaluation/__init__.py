"""How good a network is: figures, contact sheets, loss curves."""
