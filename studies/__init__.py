"""Studies: what each notebook measures into results/, and its figures. They are not in the wheel."""
