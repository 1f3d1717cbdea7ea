"""Which net keeps the budget: amounts, candidates, what published figures suggest, the choice."""
