"""What the published tables are made with: experts, policies, conditions, designs."""
