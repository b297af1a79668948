"""On the search page, ``_static/search.js``: it chooses the words that stand below a result."""


def add_script(app, pagename, templatename, context, doctree) -> None:
    """The script, on that page alone."""
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    """Register the step."""
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
