"""Makes the output's file from the model's a, b."""
