"""How jobs look: pure functions from view-models to HTML, pictures and plain text.

Nothing here knows widgets, kernels or files, so that the live dashboard, saved notebooks and web pages look alike.
`theme.CSS` dresses all of it; everything can be read without it.
"""
