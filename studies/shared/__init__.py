"""Networks and figures that several studies use."""
