"""What people are shown: text, pages, plots, exports."""
