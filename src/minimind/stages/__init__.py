"""One page per algorithm. A page imports the floors below it and never another page."""
