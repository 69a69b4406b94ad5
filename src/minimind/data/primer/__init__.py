"""The primer: a generated, bilingual primary school that gives every stage its data and every model the same exam."""
