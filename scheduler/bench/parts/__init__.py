"""The parts of `photochrom bench`, one module each."""
