"""The live dashboard: widgets, what they show, when what is sent, and the output that stays."""
