"""The project's address in one setting: launch buttons, a link to the sources, and the address of each page.

``project_address`` is ``https://github.com/OWNER/NAME``; the site is then ``https://OWNER.github.io/NAME/``. While the
setting is empty, so is everything that needs it.
"""

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError


def site_of(address: str) -> str:
    """Where GitHub publishes the pages of the repository at ``address``; ConfigError for an address that is not one."""
    host, _, path = address.removeprefix("https://").partition("/")
    owner, _, name = path.strip("/").partition("/")
    if not address.startswith("https://") or host != "github.com" or not owner or not name or "/" in name:
        raise ConfigError(f"project_address should be https://github.com/OWNER/NAME or empty, not {address!r}")
    return f"https://{owner.lower()}.github.io/{name}/"


def set_options(app: Sphinx, config: Config) -> None:
    """Tell the theme the address, before the theme reads its options."""
    if config.project_address:
        config.html_baseurl = site_of(config.project_address)
        config.html_theme_options |= {
            "repository_url": config.project_address,
            "repository_branch": "main",
            "use_repository_button": True,
            "launch_buttons": {
                "binderhub_url": "https://mybinder.org",
                "colab_url": "https://colab.research.google.com",
                "notebook_interface": "jupyterlab",
            },
        }


def setup(app: Sphinx):
    """Register the setting and the step."""
    app.add_config_value("project_address", "", "html", str)
    app.connect("config-inited", set_options, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
