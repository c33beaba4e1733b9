"""The pages and the REST API below `/mozart/`: an extension of Jupyter Server, or a server of their own.

app          the extension: settings, routes, what it keeps while the server runs
base         what every handler is made of: signed in, allowed, bounded, with errors in one format
routes       every address with its handler
standalone   the server that `mozart dashboard` starts: these pages, and nothing else of Jupyter
api, pages   what answers programs, what answers people

Nothing is imported here: `import mozart_nb` must stay free of jupyter_server.
"""
