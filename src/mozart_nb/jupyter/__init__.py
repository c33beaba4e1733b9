"""The notebook: magics, the live dashboard, and how jobs look in it."""
