"""Files and the machine: the one writer, our directories, files of unknown origin."""
