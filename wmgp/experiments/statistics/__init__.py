"""Statistics of few runs, and measures computed from recorded rows."""
