"""What each peer runs, in an environment of its own: these files import nothing of the gateway."""
