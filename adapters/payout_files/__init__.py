"""Files that ask for many payouts: CSV, XLSX or JSON lines."""
