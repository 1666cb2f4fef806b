"""The model server and its clients."""
