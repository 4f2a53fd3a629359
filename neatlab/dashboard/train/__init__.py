"""The Train tab: arms side by side, step by step."""
