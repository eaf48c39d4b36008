"""What the gateway costs and what it saves, measured beside what people would otherwise run."""
