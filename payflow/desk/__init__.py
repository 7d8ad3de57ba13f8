"""What people may do: one function for each act, which pages and command line call and add nothing to."""
