"""From a, b of the model to the output's file."""
