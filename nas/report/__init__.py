"""Reports: one self-contained page of HTML about a run or a comparison."""
