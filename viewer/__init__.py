"""Views and assessments: the APIs that record them and the store that keeps them."""
