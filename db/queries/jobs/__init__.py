"""Jobs: their lifecycle, how they are submitted, how failed scans are tried again."""
