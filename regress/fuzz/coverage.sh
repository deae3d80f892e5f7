bail "coverage is not there yet"
