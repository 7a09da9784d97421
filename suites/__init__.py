"""Suite files that come with vcbench; `vcbench run NAME` finds them here."""
