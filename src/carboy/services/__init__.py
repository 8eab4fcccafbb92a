"""Services built from the toolkit as any user would build theirs."""
