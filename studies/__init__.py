"""Studies: the measurements and figures of each notebook. They write into results/ and are not in the wheel."""
