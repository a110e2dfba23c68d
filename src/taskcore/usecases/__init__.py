"""The use cases: one class per noun, one method per operation. Transactions begin and end here."""
