"""`condor_annex`: the command-line tool. It imports neither boto3 nor aiohttp."""
