"""Numbers in, numbers out: intervals and models on plain arrays. Knows no table of ours."""
