"""Reports: the job-request queue and the files it makes. Reads what every other app keeps."""
