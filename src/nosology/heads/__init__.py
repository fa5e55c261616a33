"""Hidden states -> one logit per label: label attention in its published forms, and direct classification."""
