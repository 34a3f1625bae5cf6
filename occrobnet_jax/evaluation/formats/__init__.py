"""Files of predictions and submissions, ours and others', and the records that hold them in memory."""
