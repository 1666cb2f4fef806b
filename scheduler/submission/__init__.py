"""From a source and options to the rows of a job."""
