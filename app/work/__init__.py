"""What the page does: jobs, limits, sessions, and the photos and texts of a visitor."""
