"""From weights to answers: queries, file formats, evaluation. Never imports `training`."""
