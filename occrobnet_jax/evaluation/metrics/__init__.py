"""Numbers from records: errors, groups, intervals and the published protocols."""
