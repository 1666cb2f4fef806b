"""What commands print: tables, progress, remedies."""
