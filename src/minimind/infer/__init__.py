"""Generation: many prompts at once (`decode`), one conversation as a stream of text (`text`)."""
