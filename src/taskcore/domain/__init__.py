"""The domain: entities, rules, policies and errors; pure and synchronous."""
