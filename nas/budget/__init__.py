"""What a search may take: settings that fit a budget, picked from a measured probe."""
