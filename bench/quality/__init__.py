"""Quality of the vectors, and of the updates that make them."""
