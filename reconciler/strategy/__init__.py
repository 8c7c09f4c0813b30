"""What decides which targets to want. Nothing here sends an order: a target is all it can say."""
