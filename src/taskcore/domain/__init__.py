"""What the business knows: entities, rules, policies and refusals; pure and synchronous."""
